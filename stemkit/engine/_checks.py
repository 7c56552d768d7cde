"""Check what the loss and the sources of a fit return, which users write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stemkit._constraints import Interval, check_value, shorten
from stemkit.engine._sources import Batch
from stemkit.exceptions import InvalidParameterError


def check_steps(source: Any, name: str) -> None:
    """Raise InvalidParameterError if a source has no number of steps of an epoch."""
    if not hasattr(source, "steps_per_epoch"):
        raise InvalidParameterError(
            f"{name} must have an attribute steps_per_epoch, an int of at least 1; "
            f"{shorten(source)} has none."
        )
    check_value(source.steps_per_epoch, f"{name}.steps_per_epoch", [Interval(int, 1, None)])


def check_batch(batch: Any, name: str) -> Batch:
    """Return a batch, if it is a tuple of tensors of at least one sample."""
    is_batch = isinstance(batch, list | tuple) and len(batch) > 0
    if not is_batch or not all(isinstance(part, Tensor) and part.ndim > 0 for part in batch):
        raise InvalidParameterError(
            f"{name}.batch(step) must return a tuple of tensors, each with the samples along its "
            f"first axis; it returned {shorten(batch)}."
        )
    lengths = {len(part) for part in batch}
    if len(lengths) > 1 or 0 in lengths:
        raise InvalidParameterError(
            f"{name}.batch(step) must return tensors of the same number of samples, at least one; "
            f"it returned {sorted(lengths)}."
        )
    return tuple(batch)


def check_losses(returned: Any, *, training: bool) -> dict[str, Tensor]:
    """Return losses by name, if all are tensors of one real number and "loss" can be minimised."""
    losses = dict(returned) if isinstance(returned, Mapping) else {"loss": returned}
    if "loss" not in losses:
        names = sorted(map(str, losses))
        raise InvalidParameterError(f'loss returned {names}; one of them must be named "loss".')
    for name, value in losses.items():
        if not isinstance(name, str):
            raise InvalidParameterError(f"loss must name its values by text; got {shorten(name)}.")
        what = "loss must return" if name == "loss" else f"loss must return as {name!r}"
        if not isinstance(value, Tensor) or value.is_complex():
            raise InvalidParameterError(
                f"{what} a tensor of one real number, or a dict of them; it returned "
                f"{shorten(value)}."
            )
        if value.numel() != 1:
            raise InvalidParameterError(
                f"{what} a tensor of one number; it returned one of shape {tuple(value.shape)}, of "
                "which .mean() may be meant."
            )
    if training and not losses["loss"].requires_grad:
        raise InvalidParameterError(
            "loss must be computed from what module(...) returns, by functions of torch and "
            "without detach or item; no weight of the module changes what it returned."
        )
    return losses
