"""What metrics of frames share: stacks that fit each other, and one value a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_frames, n_dims

Reduction: TypeAlias = Literal["mean", "none"]
Float64Array: TypeAlias = NDArray[np.float64]


def frames_or_lines(X: ArrayLike, name: str = "X") -> NDArray[np.float32]:
    """Return frames (n, H, W); 2-D X is a stack of one-line frames."""
    return check_frames(np.asarray(X)[:, np.newaxis] if n_dims(X) == 2 else X, name=name)


def check_stacks(
    y_true: ArrayLike, y_pred: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return two stacks that fit each other."""
    true = check_frames(y_true, name="y_true")
    pred = check_frames(y_pred, name="y_pred")
    if true.shape != pred.shape:
        raise ValueError(
            f"y_pred has shape {pred.shape}, but y_true has {true.shape}; pass one frame for each."
        )
    return true, pred


def reduce_frames(
    metric: Callable[[Float64Array, Float64Array], float],
    true: NDArray[np.float32],
    pred: NDArray[np.float32],
    sample_weight: ArrayLike | None,
    reduction: Reduction,
) -> float | Float64Array:
    """Take a metric of each frame, and their mean if it is asked for."""
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction must be 'mean' or 'none'; got {reduction!r}.")
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=float)
    if weight is not None:
        if reduction == "none":
            raise ValueError("sample_weight has no use with reduction='none'; leave one out.")
        if weight.shape != (len(true),):
            raise ValueError(
                f"sample_weight has shape {weight.shape}, but there are {len(true)} frames; "
                f"pass one weight a frame."
            )
        if not (weight >= 0).all() or not 0 < weight.sum() < np.inf:
            raise ValueError(
                "sample_weight must be finite, not negative, and positive for some frame."
            )
    values = np.array(
        [metric(a.astype(float), b.astype(float)) for a, b in zip(true, pred, strict=True)]
    )
    return values if reduction == "none" else float(np.average(values, weights=weight))


def cosine(first: Float64Array, second: Float64Array) -> float:
    """Return the cosine of the angle between two vectors: 0 where one is 0, 1 where both are."""
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    if lengths:
        return float(first @ second / lengths)
    return float(not first.any() and not second.any())
