"""The signal that doses, backgrounds and saturation are told in terms of."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

from ..._arrays import Frames

# A number in the frames' units, one of shape (..., 1, 1) for each frame, or each frame's own mean.
Reference: TypeAlias = "Literal['mean'] | float | Frames"


def reference_signal(frames: Frames, reference: Reference) -> Any:
    """Return a number or an array of shape (..., 1, 1), everywhere finite and above 0."""
    if isinstance(reference, str) and reference == "mean":
        mean = frames.mean(axis=(-2, -1), keepdims=True)
        if not _is_signal(mean + (mean == 0)):
            raise ValueError(
                "reference='mean' needs frames whose mean is finite and not below 0; replace NaN "
                "and inf, subtract the dark level, or pass the signal as a number."
            )
        # An empty frame collects nothing, whatever the scale.
        return mean + (mean == 0)
    if isinstance(reference, (int, float)):
        fits = 0 < reference < math.inf
    else:
        # One of shape (n,) would go to the columns, not to the frames.
        fits = set(getattr(reference, "shape", (None,))[-2:]) <= {1} and _is_signal(reference)
    if fits:
        return reference
    raise ValueError(
        f"reference must be 'mean', or a finite signal above 0 in the frames' units, one number or "
        f"an array of shape (..., 1, 1); got {reference!r}."
    )


def _is_signal(values: Frames) -> bool:
    return bool(((values > 0) & (values < math.inf)).all())
