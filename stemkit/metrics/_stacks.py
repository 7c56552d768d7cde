"""What metrics of frames share: stacks of one shape, and one value for each frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import as_array
from .._constraints import Interval, Options, check_value
from .._validation import Float32Array, check_frames, check_weights, n_dims, without_repair
from ..exceptions import InvalidParameterError

Reduction: TypeAlias = Literal["mean", "none"]
Float64Array: TypeAlias = NDArray[np.float64]

# Within these bounds squares neither overflow nor vanish.
DATA_RANGE = Interval(float, 1e-30, 1e30)
PIXEL_SIZE = Interval(float, 1e-30, 1e30)


def frames_or_lines(X: ArrayLike, name: str = "X") -> Float32Array:
    """Return frames (n, H, W), repaired; a 2-D array is a stack of one-line frames."""
    stack = as_array(X, name)[:, np.newaxis] if n_dims(X) == 2 else X
    return check_frames(stack, name=name, bad_pixels="repair")


def check_stacks(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Float32Array, Float32Array]:
    """Return two stacks of the same shape."""
    true = check_frames(y_true, name="y_true")
    pred = check_frames(y_pred, name="y_pred")
    if true.shape != pred.shape:
        raise ValueError(
            f"y_pred has shape {pred.shape}, but y_true has {true.shape}; pass one frame for each."
        )
    return true, pred


def reduce_frames(
    metric: Callable[[Float64Array, Float64Array], float],
    true: Float32Array,
    pred: Float32Array,
    sample_weight: ArrayLike | None,
    reduction: Reduction,
) -> float | Float64Array:
    """Return a metric of each frame, or its mean over the frames."""
    check_value(reduction, "reduction", [Options(*get_args(Reduction))])
    if reduction == "none" and sample_weight is not None:
        raise InvalidParameterError(
            "sample_weight has no use with reduction='none'; leave one of them out."
        )
    weight = None if sample_weight is None else check_weights(sample_weight, len(true))
    values = np.array(
        [metric(a.astype(float), b.astype(float)) for a, b in zip(true, pred, strict=True)]
    )
    return values if reduction == "none" else float(np.average(values, weights=weight))


def predicted_frames(estimator: Any, X: Float32Array, shape: tuple[int, ...]) -> Float64Array:
    """Return an estimator's prediction as frames of a shape."""
    if not callable(getattr(estimator, "predict", None)):
        raise InvalidParameterError(
            f"estimator must have predict, as denoisers do; got a {type(estimator).__name__}."
        )
    # Frames were repaired before, and pixels that a scorer replaces are not bad ones.
    with without_repair():
        predicted = as_array(estimator.predict(X), "the result of predict")
    if predicted.dtype.kind not in "buif" or predicted.size != np.prod(shape):
        raise ValueError(
            f"estimator gives {predicted.dtype} of shape {predicted.shape} for X of shape "
            f"{X.shape}; pass a denoiser, whose predict gives frames like X."
        )
    if not np.isfinite(predicted).all():
        raise ValueError("estimator predicts NaN or inf, which has no score; fit it anew.")
    return predicted.astype(float).reshape(shape)


def cosine(first: Float64Array, second: Float64Array) -> float:
    """Return the cosine of the angle of two vectors: 0 if one is zero, 1 if both are."""
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    if lengths:
        return float(first @ second / lengths)
    return float(not first.any() and not second.any())
