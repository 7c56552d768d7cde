"""Sources of training batches: pairs of frames, clean frames with noise, or a stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._constraints import Function, check_value, shorten
from .._random import RandomState, check_seed, sample_generator
from .._validation import Float32Array
from ..engine import Source, StreamSource
from ..engine._randomness import own_randomness
from ..exceptions import InvalidParameterError
from ..noise._base import fitted_noise

MakeBatch = Callable[[np.random.Generator], Any]


class Scaling(NamedTuple):
    """Offset and scale that standardise values."""

    offset: float
    scale: float

    @classmethod
    def of(cls, values: Tensor) -> Scaling:
        """Return the mean and standard deviation of values; a scale of 1 if they are constant."""
        values = values.double()
        return cls(float(values.mean()), float(values.std(correction=0)) or 1.0)


class PairSource:
    """Random crops of frames and their targets, randomly flipped.

    Parameters
    ----------
    inputs : ndarray of shape (n_frames, ..., H, W)
    targets : ndarray of shape (n_frames, H, W)
    batch_size : int
    side : int
        Longest side of a crop in px. An epoch has as many crops as fit side by side.
    flip : bool
        Flip half of the crops vertically and half of them horizontally.
    degrade : callable, optional
        ``degrade(frames, generator=...)`` adds fresh noise to the inputs.
    device : torch.device
        Device on which noise is drawn, and on which batches stay.
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
        """Return the inputs (n, ..., h, w) and targets (n, h, w) of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = sample_generator(self.random_state, epoch).permutation(self.n_samples)
        # Batches of equal size: batch normalisation fails on a last batch of one pixel.
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
        crop = (index, ..., slice(top, top + height), slice(left, left + width))
        pair = [self.inputs[crop], self.targets[crop]]
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
    max_frames : int, optional
        Largest number of frames of a batch; the others are dropped.
    """

    def __init__(
        self,
        source: Source,
        input_scaling: Scaling,
        target_scaling: Scaling,
        *,
        max_frames: int | None = None,
    ) -> None:
        self.source = source
        self.scalings = input_scaling, target_scaling
        self.max_frames = max_frames
        self.steps_per_epoch = source.steps_per_epoch

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Return inputs and targets (n, channels, h, w) of a step, then further tensors."""
        inputs, targets, *more = self.source.batch(step)
        scaled = [
            (values - offset) / scale
            for values, (offset, scale) in zip((inputs, targets), self.scalings, strict=True)
        ]
        return tuple(_with_channels(values[: self.max_frames]) for values in (*scaled, *more))


def _with_channels(values: Tensor) -> Tensor:
    return values if values.ndim == 4 else values[:, None]


def stream_of(X: Any) -> MakeBatch | None:
    """Return the function that makes batches if X is a stream, None if it is a stack."""
    if isinstance(X, type):
        raise InvalidParameterError(f"X is the class {X.__name__}; pass an instance or frames.")
    if hasattr(X, "make_batch"):
        return X.make_batch
    return X if callable(X) else None


def source_of_stream(make_batch: MakeBatch, steps_per_epoch: int, random_state: int) -> Source:
    """Return the source of a stream, after a check of its first batch."""
    source = StreamSource(make_batch, steps_per_epoch=steps_per_epoch, random_state=random_state)
    try:
        batch = source.batch(0)
    except InvalidParameterError as error:
        raise InvalidParameterError(f"X is a stream, but {error}") from error
    if len(batch) != 2 or batch[0].ndim != 3 or batch[0].shape != batch[1].shape:
        raise ValueError(
            "X is a stream, but its batches are not (noisy, target) of shape (n, H, W) each; "
            f"got {[tuple(values.shape) for values in batch]}."
        )
    return source


def simulator_of(noise: Any, frames: Float32Array, random_state: RandomState) -> Any:
    """Return a fitted simulator, or a function of frames and a generator as a simulator.

    Outside of training a function draws from `random_state`.
    """
    if isinstance(noise, type):
        raise InvalidParameterError(
            f"noise is a class; pass an instance of it, as noise={noise.__name__}()."
        )
    if callable(noise) and not hasattr(noise, "degrade"):
        check_value(noise, "noise", [Function("frames", generator="generator")])
        return _FunctionNoise(noise, random_state)
    return fitted_noise(noise, frames)


class _FunctionNoise:
    """A simulator made of a function ``noise(frames, generator=...)`` of tensors."""

    def __init__(self, function: Callable[..., Any], random_state: RandomState) -> None:
        self.function = function
        self.random_state = random_state

    def degrade(self, frames: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return noisy frames, after a check that they are."""
        # A function that ignores its generator draws from torch's global one: seeded and restored.
        with own_randomness(frames.device, seed=generator.initial_seed()):
            noisy = self.function(frames.clone(), generator=generator)
        if not isinstance(noisy, Tensor) or noisy.shape != frames.shape:
            raise ValueError(
                f"noise must return a tensor of the shape of its frames, {tuple(frames.shape)}; "
                f"it returned {shorten(noisy)}."
            )
        if noisy.is_complex() or not noisy.isfinite().all():
            raise ValueError("noise must return finite real numbers for finite frames.")
        return noisy.detach().float()

    def transform(self, frames: Float32Array) -> Float32Array:
        """Return noisy frames whose noise depends on the random state alone."""
        generator = torch.Generator().manual_seed(check_seed(self.random_state))
        return self.degrade(torch.from_numpy(frames), generator=generator).numpy()
