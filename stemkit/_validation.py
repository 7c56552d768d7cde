"""Checks of the arrays that users pass: frames, stacks, pairs, times and weights.

Estimators repair bad pixels here: those that are missing, which are NaN or masked, and those that
do not show the specimen, see :mod:`stemkit._bad_pixels`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import Float32Array as Float32Array
from ._arrays import as_array, is_tensor
from ._arrays import rescale_to_float32 as rescale_to_float32
from ._bad_pixels import Mask, filled, find_bad, find_marks
from ._constraints import Constraints, Options, shorten
from ._labelled import axes_of, unlabelled
from ._warnings import is_first, warn_caller
from .exceptions import BadPixelWarning

BadPixels = Literal["repair"] | None
BAD_PIXELS: Constraints = [None, Options("repair")]

# Largest share of a frame that is filled.
_MOST_MISSING = 0.5
# A 2-D array with this many lines and columns is most likely a single frame. The arrays of
# scikit-learn's own checks are smaller.
_MIN_FRAME_SIDE = 32


def _as_real(values: ArrayLike, name: str) -> NDArray:
    if isinstance(values, str | os.PathLike):
        raise ValueError(
            f"{name} is a path, not frames; pass stemkit.io.read_stack({str(values)!r})."
        )
    if hasattr(values, "frames") and not hasattr(values, "__array__"):
        raise ValueError(f"{name} holds frames and more; pass {name}.frames.")
    array = as_array(values, name)
    if array.dtype == object:
        raise ValueError(
            f"{name} has dtype object, which frames of different shapes or mixed types give; "
            f"pass one array of numbers of shape (n_frames, H, W)."
        )
    if array.dtype.kind not in "buif":
        raise ValueError(
            f"{name} has dtype {array.dtype}, but frames are real numbers; "
            f"take the modulus or convert them first."
        )
    return array


def _as_float32(
    X: ArrayLike,
    check_shape: Callable[[NDArray], None],
    *,
    name: str,
    bad_pixels: BadPixels = None,
    unit: str = "frame",
    lines: bool = True,
) -> Float32Array:
    """Return frames, or pairs of them, as finite float32, with bad pixels filled if repaired."""
    if bad_pixels is None or not _repairs.get():
        values, missing = X, None
        _check_unmasked(X, name)
    else:
        values, missing = split_missing(X, name)
    array = _as_real(values, name)
    check_shape(array)
    with np.errstate(over="ignore"):
        frames = np.ascontiguousarray(array, dtype=np.float32)
    _check_finite(frames, name, unit)
    if missing is None or not frames.size:
        return frames
    stack = frames.reshape(-1, *frames.shape[-2:])
    missing = missing.reshape(stack.shape)
    bad = find_bad(stack, missing | find_marks(array.reshape(stack.shape)), lines=lines)
    if not bad.any():
        return frames
    _check_enough(bad, name)
    repaired = np.stack([filled(*frame) for frame in zip(stack, bad, strict=True)])
    _warn_of_bad_pixels(bad, missing, name)
    return repaired.reshape(frames.shape)


def split_missing(values: Any, name: str) -> tuple[NDArray, Mask]:
    """Return an array with zeros where values are NaN or masked, and a mask of these."""
    values = unlabelled(values, name)
    if isinstance(values, np.ma.MaskedArray):
        array, missing = np.asarray(values.data), np.ma.getmaskarray(values)
    else:
        array = as_array(values, name)
        masked = getattr(values, "mask", None) if hasattr(values, "frames") else None
        missing = np.zeros(array.shape, bool) if masked is None else masked
    # The smallest value is NaN if any is, and no mask as large as the frames is made.
    if array.dtype.kind == "f" and array.size and np.isnan(array.min()):
        missing = missing | np.isnan(array)
    return (np.where(missing, array.dtype.type(0), array) if missing.any() else array), missing


def _check_unmasked(values: ArrayLike, name: str) -> None:
    if hasattr(values, "frames") and np.any(getattr(values, "mask", None)):
        raise ValueError(
            f"{name} has masked pixels; fill them first, as "
            f"stemkit.preprocessing.BadPixelRepair does."
        )


_repairs: ContextVar[bool] = ContextVar("_repairs", default=True)


@contextmanager
def without_repair() -> Iterator[None]:
    """Let estimators use frames as they are, such as those that were repaired before."""
    token = _repairs.set(False)
    try:
        yield
    finally:
        _repairs.reset(token)


def _check_enough(bad: Mask, name: str) -> None:
    """Raise an error if a frame lacks so many pixels that it can't be filled."""
    share = bad.mean(axis=(1, 2))
    worst = int(share.argmax())
    if share[worst] > _MOST_MISSING:
        raise ValueError(
            f"{name} lacks {share[worst]:.0%} of the pixels of frame {worst}, which are NaN, "
            f"masked or not recorded; crop the frames to the recorded part, or leave it out."
        )


def _warn_of_bad_pixels(bad: Mask, missing: Mask, name: str) -> None:
    if not is_first(BadPixelWarning):
        return
    counts = bad.sum(axis=(1, 2))
    hit = np.flatnonzero(counts)
    first = int(hit[0])
    places = ", ".join(str((int(y), int(x))) for y, x in np.argwhere(bad[first])[:3])
    more = ", ..." if counts[first] > 3 else ""
    n_missing = int(missing.sum())
    kinds = [
        f"{n} {what}"
        for n, what in (
            (n_missing, "NaN or masked"),
            (int(counts.sum()) - n_missing, "stuck, hot, dead, hit by X-rays or not recorded"),
        )
        if n
    ]
    warn_caller(
        f"{name} has bad pixels in {len(hit)} of {len(bad)} frames: {'; '.join(kinds)}. The first "
        f"are in frame {first} at (y, x) = {places}{more}. They were filled from their neighbours. "
        f"See stemkit.preprocessing.BadPixelRepair, or pass bad_pixels=None to use frames as they "
        f"are.",
        BadPixelWarning,
    )


def _check_finite(frames: Float32Array, name: str, unit: str) -> None:
    """Raise an error that names the first frame or pair that is not finite."""
    # The sum of a frame is finite only if all of its pixels are. A mask would need more memory.
    with np.errstate(over="ignore", invalid="ignore"):
        sums = frames.reshape(frames.shape[0], -1).sum(axis=1, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(sums))
    if bad.size:
        kind = "NaN" if np.isnan(frames[bad[0]]).any() else "inf or values beyond float32"
        raise ValueError(
            f"{name} contains {kind} in {unit} {bad[0]}; replace these pixels "
            f"(np.nan_to_num, or the median of their neighbours) or leave the {unit} out."
        )


def check_stack_shape(shape: tuple[int, ...], name: str, min_frames: int = 1) -> None:
    """Raise an error if this is not the shape of a stack."""
    if len(shape) == 2:
        raise ValueError(
            f"{name} is one frame of shape {shape}, but must be a stack "
            f"(n_frames, H, W); pass {name}[np.newaxis] for a stack of one."
        )
    if len(shape) != 3:
        raise ValueError(
            f"{name} has {len(shape)} dimensions, but a stack (n_frames, H, W) has 3. "
            f"Reshape your data, or pass one stack at a time."
        )
    if 0 in shape[1:]:
        raise ValueError(f"{name} has empty frames of shape {shape[1:]}; nothing to work on.")
    if shape[0] < min_frames:
        raise ValueError(
            f"{name} holds {shape[0]} frame(s), but at least {min_frames} are needed; "
            f"pass more frames of the series."
        )


def check_frames(
    X: ArrayLike,
    *,
    name: str = "X",
    min_frames: int = 1,
    bad_pixels: BadPixels = None,
    lines: bool = True,
) -> Float32Array:
    """Return a stack as C-contiguous float32, without a copy if it is that already.

    Parameters
    ----------
    X : array-like of shape (n_frames, H, W)
        Frames of any real dtype.
    name : str, default="X"
        Name of the argument, for messages.
    min_frames : int, default=1
        Fewer frames than this is an error.
    bad_pixels : {"repair"} or None, default=None
        Whether to fill bad pixels, in a copy. If None, NaN and masked pixels are errors.
    lines : bool, default=True
        Whether whole rows and columns may be bad, rather than have noise of their own.

    Returns
    -------
    ndarray of shape (n_frames, H, W), float32

    Raises
    ------
    ValueError
        If the shape, the dtype or a value is not that of a stack.

    Warns
    -----
    BadPixelWarning
        If pixels were filled.
    """

    def check_shape(array: NDArray) -> None:
        check_stack_shape(array.shape, name, min_frames)

    return _as_float32(X, check_shape, name=name, bad_pixels=bad_pixels, lines=lines)


def check_stack(
    X: ArrayLike, estimator: Any, *, reset: bool, name: str = "X", min_frames: int = 1
) -> tuple[Float32Array, tuple[int, ...]]:
    """Return the X of a scikit-learn estimator as a stack, and the shape of X.

    A 2-D X is read as a stack of one-line frames, so that the estimator also takes scikit-learn's
    samples and features. If it was fitted to frames, or has only weights from a file, a 2-D X is
    an error, since it is most likely a single frame.

    Parameters
    ----------
    X : array-like of shape (n_frames, H, W) or (n_lines, W)
        Frames of any real dtype.
    estimator : estimator
        The estimator, whose ``bad_pixels`` is that of `check_frames`. Its ``frame_shape_``, (H, W)
        or (W,), and for lines ``n_features_in_`` and ``feature_names_in_`` are set or compared
        with X.
    reset : bool
        Whether to set these attributes, as fit does, or to compare X with them.
    name : str, default="X"
        Name of the argument, for messages.
    min_frames : int, default=1
        Fewer frames than this is an error.

    Returns
    -------
    frames : ndarray of shape (n_frames, H, W), float32
    shape : tuple of int
        Shape of X: ``frames.reshape(shape)`` restores it.

    Raises
    ------
    ValueError
        If the shape, the dtype or a value is not that of a stack.

    Warns
    -----
    UserWarning
        If fit is given lines that look like a single frame.
    BadPixelWarning
        If pixels were filled.
    """
    lines = n_dims(X) == 2 and (reset or len(getattr(estimator, "frame_shape_", ())) == 1)
    if lines:
        # Imported here, since it takes long and stacks do not need it.
        from sklearn.utils.validation import validate_data

        # A table is left as it is, for the names of its columns.
        if is_tensor(X) or isinstance(X, list | tuple | np.ma.MaskedArray) or axes_of(X):
            X = as_array(X, name)
        array = validate_data(
            estimator, X, reset=reset, dtype=np.float32, order="C", ensure_min_samples=min_frames
        )
        frames = array[:, np.newaxis]
    else:
        array = frames = check_frames(
            X,
            name=name,
            min_frames=min_frames,
            bad_pixels=getattr(estimator, "bad_pixels", None),
        )
    if reset:
        if lines and min(array.shape) >= _MIN_FRAME_SIDE:
            warn_caller(
                f"{name} of shape {array.shape} is read as {len(array)} lines, not as one frame; "
                f"pass {name}[np.newaxis] for a stack of one."
            )
        estimator.frame_shape_ = array.shape[1:]
        if not lines:
            for of_lines in ("n_features_in_", "feature_names_in_"):
                vars(estimator).pop(of_lines, None)
    return frames, array.shape


def n_dims(X: ArrayLike) -> int:
    """Count the dimensions of X; 0 if it is not an array, so that later checks raise the error."""
    try:
        # not np.ndim, which fails for some objects that can be converted to arrays
        return X.ndim if hasattr(X, "ndim") else as_array(X, "X").ndim
    except ValueError:
        return 0


def check_pair(
    pair: ArrayLike, *, name: str = "pair", bad_pixels: BadPixels = None
) -> Float32Array:
    """Return two frames, the earlier first, as float32 of shape (2, H, W)."""

    def check_shape(array: NDArray) -> None:
        if array.ndim != 3 or array.shape[0] != 2 or 0 in array.shape:
            raise ValueError(
                f"{name} has shape {array.shape}, but a pair is (2, H, W), the earlier frame "
                f"first; pass np.stack([first, second])."
            )

    return _as_float32(pair, check_shape, name=name, bad_pixels=bad_pixels)


def check_pairs(pairs: ArrayLike, *, name: str = "X", bad_pixels: BadPixels = None) -> Float32Array:
    """Return pairs as float32 of shape (n_pairs, 2, H, W)."""

    def check_shape(array: NDArray) -> None:
        if array.ndim != 4 or array.shape[1] != 2 or 0 in array.shape:
            raise ValueError(
                f"{name} has shape {array.shape}, but pairs are (n_pairs, 2, H, W); "
                f"pass np.stack of pairs, each with the earlier frame first."
            )

    return _as_float32(pairs, check_shape, name=name, bad_pixels=bad_pixels, unit="pair")


def check_times(t: ArrayLike, *, name: str = "t") -> NDArray[np.float64]:
    """Return times between the two frames as a float array of at most one dimension."""
    try:
        times = np.asarray(t, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is not a number or a list of numbers; pass 0 <= t <= 1."
        ) from error
    if times.ndim > 1 or times.size == 0:
        raise ValueError(
            f"{name} has shape {times.shape}; pass a number or a one-dimensional list."
        )
    # Not `times < 0` or `times > 1`, which are False for NaN.
    if not ((times >= 0) & (times <= 1)).all():
        raise ValueError(
            f"{name} must lie between 0 (the first frame) and 1 (the second); got {t!r}."
        )
    return times


def check_weights(
    weights: ArrayLike | None, n_samples: int, *, name: str = "sample_weight"
) -> NDArray[np.float64]:
    """Return the weight of each sample, all 1 for None."""
    if weights is None:
        return np.ones(n_samples)
    array = as_array(weights, name)
    numbers = array.astype(np.float64) if array.dtype.kind in "buif" else np.full(1, np.nan)
    positive = (numbers >= 0).all() and 0 < numbers.sum() < np.inf
    if array.shape != (n_samples,) or not positive:
        raise ValueError(
            f"{name} must be {n_samples} finite numbers, one for each frame, of at least 0 and not "
            f"all 0; got {shorten(weights)}."
        )
    return numbers


def check_increasing(values: ArrayLike, n_frames: int, name: str) -> NDArray[np.float64]:
    """Return one number for each frame, after a check that they increase."""
    array = as_array(values, name)
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name} must be numbers, one for each frame; got {shorten(values)}.")
    axis = array.astype(np.float64)
    if axis.shape != (n_frames,):
        raise ValueError(f"{name} has shape {axis.shape}; give one number for each frame.")
    if not np.isfinite(axis).all() or not (np.diff(axis) > 0).all():
        raise ValueError(f"{name} must be finite and increase from frame to frame.")
    return axis


def check_frame(
    frame: ArrayLike, *, name: str = "frame", bad_pixels: BadPixels = None
) -> Float32Array:
    """Return one frame as float32 of shape (H, W)."""
    array: Any = frame if isinstance(frame, np.ma.MaskedArray) else _as_real(frame, name)
    if array.ndim != 2:
        raise ValueError(f"{name} has {array.ndim} dimensions; pass one frame of shape (H, W).")
    return check_frames(array[np.newaxis], name=name, bad_pixels=bad_pixels)[0]
