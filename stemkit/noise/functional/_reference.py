"""The signal that doses, backgrounds and saturation are told in terms of."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

from .._arrays import Frames

# A number in the frames' units, one of shape (..., 1, 1) for each frame, or each frame's own mean.
Reference: TypeAlias = "Literal['mean'] | float | Frames"


def reference_signal(frames: Frames, reference: Reference) -> Any:
    """Return a number or an array of shape (..., 1, 1), nowhere 0."""
    if isinstance(reference, str) and reference == "mean":
        mean = frames.mean(axis=(-2, -1), keepdims=True)
        # An empty frame collects nothing, whatever the scale.
        return mean + (mean == 0)
    if isinstance(reference, (int, float)):
        fits = 0 < reference < math.inf
    else:
        fits = hasattr(reference, "ndim")
    if fits:
        return reference
    raise ValueError(
        f"reference must be 'mean', or a finite signal above 0 in the frames' units; "
        f"got {reference!r}."
    )
