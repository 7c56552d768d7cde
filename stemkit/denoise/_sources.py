"""Where a denoiser's training batches come from: pairs, clean frames with noise, or a stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._random import sample_generator
from .._validation import Float32Array
from ..engine import Source, StreamSource

MakeBatch = Callable[[np.random.Generator], Any]


class Scaling(NamedTuple):
    """What brings values near to 0 and 1, and back."""

    offset: float
    scale: float

    @classmethod
    def of(cls, values: Tensor) -> Scaling:
        """Standardise these values; where all are the same, only shift them."""
        values = values.double()
        return cls(float(values.mean()), float(values.std(correction=0)) or 1.0)


class PairSource:
    """Squares at random places of frames and of their targets, turned over at random.

    Parameters
    ----------
    inputs : ndarray of shape (n_frames, ..., H, W)
    targets : ndarray of shape (n_frames, H, W)
    batch_size : int
    side : int
        Longest side in px of what is cut out. An epoch has as many as fit side by side.
    flip : bool
        Turn half of them upside down, and half of them left side right.
    degrade : callable, optional
        ``degrade(frames, generator=...)`` adds fresh noise to the inputs.
    device : torch.device
        Where noise is made; batches stay there.
    random_state : int
    """

    def __init__(
        self,
        inputs: Float32Array,
        targets: Float32Array,
        *,
        batch_size: int,
        side: int,
        flip: bool,
        degrade: Callable[..., Any] | None,
        device: torch.device,
        random_state: int,
    ) -> None:
        self.inputs, self.targets = inputs, targets
        self.flip = flip
        self.degrade = degrade
        self.device = device
        self.random_state = random_state
        self.size = tuple(min(side, n) for n in targets.shape[1:])
        per_frame = math.prod(n // s for n, s in zip(targets.shape[1:], self.size, strict=True))
        self.n_samples = len(inputs) * per_frame
        self.steps_per_epoch = math.ceil(self.n_samples / batch_size)
        if self.n_samples * math.prod(self.size) == 1:
            raise ValueError("X is a single pixel, from which nothing can be learned.")

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Give inputs (n, ..., h, w) and targets (n, h, w) of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = sample_generator(self.random_state, epoch).permutation(self.n_samples)
        # of even size: batch normalisation can't do with a last batch of next to nothing
        rows = np.array_split(order, self.steps_per_epoch)[position]
        rng = sample_generator(self.random_state, step, 1)
        pairs = [self._cut(row % len(self.inputs), rng) for row in rows]
        inputs, targets = (
            torch.from_numpy(np.stack(values)).to(self.device)
            for values in zip(*pairs, strict=True)
        )
        if self.degrade is not None:
            on_device = torch.Generator(self.device).manual_seed(int(rng.integers(2**63)))
            inputs = self.degrade(inputs, generator=on_device)
        return inputs, targets

    def _cut(self, index: int, rng: np.random.Generator) -> list[Float32Array]:
        top, left = (
            rng.integers(n - s + 1) for n, s in zip(self.targets.shape[1:], self.size, strict=True)
        )
        height, width = self.size
        place = (index, ..., slice(top, top + height), slice(left, left + width))
        pair = [self.inputs[place], self.targets[place]]
        for axis in (-2, -1):
            if self.flip and rng.random() < 0.5:
                pair = [np.flip(values, axis) for values in pair]
        return pair


class ScaledSource:
    """Batches of another source, standardised and with an axis of channels.

    Parameters
    ----------
    source : Source
    input_scaling, target_scaling : Scaling
    most : int, optional
        Rows at most.
    """

    def __init__(
        self,
        source: Source,
        input_scaling: Scaling,
        target_scaling: Scaling,
        *,
        most: int | None = None,
    ) -> None:
        self.source = source
        self.scalings = input_scaling, target_scaling
        self.most = most
        self.steps_per_epoch = source.steps_per_epoch

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Give inputs and targets of a step, (n, channels, h, w) each, then what else there is."""
        inputs, targets, *more = self.source.batch(step)
        scaled = [
            (values - offset) / scale
            for values, (offset, scale) in zip((inputs, targets), self.scalings, strict=True)
        ]
        return tuple(_with_channels(values[: self.most]) for values in (*scaled, *more))


def _with_channels(values: Tensor) -> Tensor:
    return values if values.ndim == 4 else values[:, None]


def stream_of(X: Any) -> MakeBatch | None:
    """Return the function that makes batches, if X is a stream and not a stack."""
    if hasattr(X, "make_batch"):
        return X.make_batch
    return X if callable(X) else None


def source_of_stream(make_batch: MakeBatch, steps_per_epoch: int, random_state: int) -> Source:
    """Wrap a stream, and look at what it gives."""
    source = StreamSource(make_batch, steps_per_epoch=steps_per_epoch, random_state=random_state)
    batch = source.batch(0)
    if len(batch) != 2 or batch[0].ndim != 3 or batch[0].shape != batch[1].shape:
        raise ValueError(
            "X is a stream, but its batches are not (noisy, target) of shape (n, H, W) each; "
            f"got {[tuple(values.shape) for values in batch]}."
        )
    return source


def fitted_noise(noise: Any, frames: Float32Array) -> Any:
    """Return a simulator that can degrade: this one if it is fitted, or a fitted copy."""
    if not hasattr(noise, "degrade"):
        raise ValueError(
            f"noise must be one of stemkit.noise's simulators; got {noise!r}. Pass HRTEMNoise()."
        )
    try:
        check_is_fitted(noise)
    except NotFittedError:
        return clone(noise).fit(frames)
    return noise
