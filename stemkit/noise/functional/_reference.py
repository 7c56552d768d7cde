"""The signal that doses, backgrounds and saturation are relative to."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np

from ..._arrays import Frames, is_tensor
from ..._constraints import Constraints, Options, shorten
from ._checks import is_signal, positive

# A number in the frames' units, one of shape (..., 1, 1) for each frame, or each frame's own mean.
Reference: TypeAlias = "Literal['mean'] | float | Frames"
# Of a simulator, which has one reference for all frames.
REFERENCE: Constraints = (Options("mean"), positive())


def reference_signal(frames: Frames, reference: Reference) -> Any:
    """Return a number or an array of shape (..., 1, 1), everywhere finite and above 0."""
    if isinstance(reference, str) and reference == "mean":
        mean = frames.mean(axis=(-2, -1), keepdims=True)
        if not is_signal(mean + (mean == 0)):
            raise ValueError(
                "reference='mean' needs frames with a finite mean of at least 0; subtract the dark "
                "level, rescale the frames, or pass the signal as a number."
            )
        # A black frame stays black at any scale.
        return mean + (mean == 0)
    if isinstance(reference, Real):
        fits = positive().accepts(reference)
    else:
        # An array of shape (n,) would be applied to the columns, not to the frames.
        leading = (*tuple(frames.shape[:-2]), 1, 1)
        values: Any = reference
        fits = (
            (isinstance(values, np.ndarray) or is_tensor(values))
            and _broadcasts(tuple(values.shape), leading)
            and is_tensor(values) == is_tensor(frames)
            and is_signal(values)
        )
    if fits:
        return reference
    raise ValueError(
        f"reference must be 'mean', or a finite signal above 0 in the frames' units, one number or "
        f"an array of shape (..., 1, 1); got {shorten(reference)}."
    )


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False
