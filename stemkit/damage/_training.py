"""How the degradation network learns: synthetic pairs, its loss, and the call of the loop."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .._validation import Float32Array
from ..engine import FitResult, StreamSource, fit_module
from ..networks.degradation import DegradationNet
from ._synthetic_pairs import synthetic_batch

_SQUARE_WEIGHT = 4.0
# The motion's error is in radians and half-widths; decay is what the default model asks for.
_MOTION_WEIGHT = 0.3
VALIDATION_BATCHES = 8


def pair_loss(module: torch.nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Error of the decay map, and of the motion with it.

    The absolute error alone is least for a median, which damps what is rare; the square pulls
    towards the mean, which keeps amplitudes.
    """
    first, second, t, evidence, decay, theta = batch
    predicted_theta, predicted_decay = module(first, second, t, evidence)
    residual = predicted_decay - decay
    of_decay = residual.abs().mean()
    of_motion = (predicted_theta - theta).abs().mean()
    return {
        "loss": of_decay + _SQUARE_WEIGHT * residual.square().mean() + _MOTION_WEIGHT * of_motion,
        "decay_mae": of_decay,
        "motion_mae": of_motion,
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
    """Train on fresh synthetic pairs, half of them cut from ``frames`` if there are any."""

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
