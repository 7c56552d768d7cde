"""Training of the degradation network on synthetic pairs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch
from scipy import ndimage
from torch import Tensor

from .._validation import Float32Array
from ..engine import FitResult, StreamSource, fit_module
from ..networks.degradation import DegradationNet
from ._synthetic_pairs import synthetic_batch

_STEPS_PER_EPOCH = 25
_BATCH_SIZE = 8
_SIDE = 96
_LEARNING_RATE = 2e-4
_LEARNING_RATE_FROM_SCRATCH = 2e-3
_SQUARE_WEIGHT = 4.0
# The decay matters more: only registration="network" uses the motion, in radians and half-widths.
_MOTION_WEIGHT = 0.3
VALIDATION_BATCHES = 8


def pair_loss(module: torch.nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Compute the error of the decay map and the motion.

    The absolute error alone leads to a median, which underestimates rare damage. The squared error
    leads to a mean, which keeps amplitudes.
    """
    first, second, t, estimates, decay, theta = batch
    predicted_theta, predicted_decay = module(first, second, t, estimates)
    residual = predicted_decay - decay
    decay_mae = residual.abs().mean()
    motion_mae = (predicted_theta - theta).abs().mean()
    return {
        "loss": decay_mae + _SQUARE_WEIGHT * residual.square().mean() + _MOTION_WEIGHT * motion_mae,
        "decay_mae": decay_mae,
        "motion_mae": motion_mae,
    }


def train_network(
    module: DegradationNet,
    *,
    frames: Sequence[Float32Array] = (),
    max_steps: int,
    steps_per_epoch: int,
    batch_size: int,
    side: int,
    lr: float,
    random_state: int,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 100,
    fingerprint: Mapping[str, object] | None = None,
    device: str = "auto",
    precision: str = "auto",
    verbose: int = 0,
) -> FitResult:
    """Train on new synthetic pairs in every step, half of them cut from ``frames`` if given.

    ``frames`` are without noise, at the resolution of the network. The other parameters are those
    of :func:`stemkit.engine.fit_module`.
    """

    def source(stream: int, steps: int) -> StreamSource:
        return StreamSource(
            lambda rng: synthetic_batch(rng, batch_size=batch_size, side=side, frames=frames),
            steps_per_epoch=steps,
            random_state=2 * random_state + stream,
        )

    return fit_module(
        module,
        pair_loss,
        source(0, steps_per_epoch),
        validation=source(1, VALIDATION_BATCHES),
        max_steps=max_steps,
        lr=lr,
        weight_decay=1e-4,
        warmup_steps=100,
        checkpoint_dir=checkpoint_dir,
        checkpoint_every=checkpoint_every,
        fingerprint=fingerprint,
        device=device,
        precision=precision,
        random_state=random_state,
        verbose=verbose,
    )


def adapt_network(
    module: DegradationNet,
    frames: Sequence[Float32Array],
    *,
    n_epochs: int,
    pretrained: bool,
    random_state: int,
    checkpoint_dir: str | os.PathLike[str] | None,
    fingerprint: Mapping[str, object],
    device: str,
    precision: str,
    verbose: int,
) -> FitResult:
    """Train a network on synthetic damage of frames at its resolution, as ``fit`` does."""
    # Noise left in a frame would be the same in both frames of a synthetic pair and look undamaged;
    # new noise is added to each.
    smoothed = [ndimage.gaussian_filter(frame, 1.0) for frame in frames]
    return train_network(
        module,
        frames=smoothed,
        max_steps=n_epochs * _STEPS_PER_EPOCH,
        steps_per_epoch=_STEPS_PER_EPOCH,
        batch_size=_BATCH_SIZE,
        side=_SIDE,
        lr=_LEARNING_RATE if pretrained else _LEARNING_RATE_FROM_SCRATCH,
        random_state=random_state,
        checkpoint_dir=checkpoint_dir,
        fingerprint=fingerprint,
        device=device,
        precision=precision,
        verbose=verbose,
    )
