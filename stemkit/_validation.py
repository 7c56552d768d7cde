"""Checks of the arrays that users pass: frames, stacks, pairs, times and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import Float32Array as Float32Array
from ._arrays import as_array, is_tensor
from ._arrays import rescale_to_float32 as rescale_to_float32
from ._constraints import shorten
from ._finite_frames import BAD_OR_MISSING as BAD_OR_MISSING
from ._finite_frames import BAD_PIXELS as BAD_PIXELS
from ._finite_frames import BadOrMissing as BadOrMissing
from ._finite_frames import BadPixels as BadPixels
from ._finite_frames import _as_real as _as_real
from ._finite_frames import as_frames
from ._finite_frames import split_missing as split_missing
from ._finite_frames import without_repair as without_repair
from ._labelled import axes_of
from ._missing import Mask
from ._warnings import warn_caller

# A 2-D array with this many lines and columns is most likely a single frame. The arrays of
# scikit-learn's own checks are smaller.
_MIN_FRAME_SIDE = 32


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

    return as_frames(X, check_shape, name=name, bad_pixels=bad_pixels, lines=lines)[0]


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
    frames, shape, _ = _check_stack(X, estimator, reset, name, min_frames)
    return frames, shape


def check_masked_stack(
    X: ArrayLike, estimator: Any, *, reset: bool, name: str = "X", min_frames: int = 1
) -> tuple[Float32Array, tuple[int, ...], Mask | None]:
    """Return what `check_stack` does, and where frames hold no data.

    Returns
    -------
    frames : ndarray of shape (n_frames, H, W), float32
        The stack; pixels without data are filled.
    shape : tuple of int
        Shape of X.
    missing : ndarray of shape (n_frames, H, W), bool, or None
        True where a pixel is to be left out, None without such pixels.
    """
    return _check_stack(X, estimator, reset, name, min_frames, leaves_out=True)


def _check_stack(
    X: ArrayLike,
    estimator: Any,
    reset: bool,
    name: str,
    min_frames: int,
    *,
    leaves_out: bool = False,
) -> tuple[Float32Array, tuple[int, ...], Mask | None]:
    lines = n_dims(X) == 2 and (reset or len(getattr(estimator, "frame_shape_", ())) == 1)
    missing = None
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
        frames, missing = as_frames(
            X,
            lambda array: check_stack_shape(array.shape, name, min_frames),
            name=name,
            bad_pixels=getattr(estimator, "bad_pixels", None),
            leaves_out=leaves_out,
        )
        array = frames
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
    return frames, array.shape, missing


def n_dims(X: ArrayLike) -> int:
    """Count the dimensions of X; 0 if it is not an array, so that later checks raise the error."""
    try:
        # not np.ndim, which fails for some objects that can be converted to arrays
        return X.ndim if hasattr(X, "ndim") else as_array(X, "X").ndim
    except ValueError:
        return 0


def check_pair(pair: ArrayLike, *, name: str = "pair") -> Float32Array:
    """Return two frames, the earlier first, as float32 of shape (2, H, W)."""
    return check_masked_pair(pair, name=name, bad_pixels=None)[0]


def check_masked_pair(
    pair: ArrayLike, *, name: str = "pair", bad_pixels: BadOrMissing
) -> tuple[Float32Array, Mask | None]:
    """Return two frames (2, H, W), and where they hold no data, or None."""

    def check_shape(array: NDArray) -> None:
        if array.ndim != 3 or array.shape[0] != 2 or 0 in array.shape:
            raise ValueError(
                f"{name} has shape {array.shape}, but a pair is (2, H, W), the earlier frame "
                f"first; pass np.stack([first, second])."
            )

    return as_frames(pair, check_shape, name=name, bad_pixels=bad_pixels, leaves_out=True)


def check_masked_pairs(
    pairs: ArrayLike, *, name: str = "X", bad_pixels: BadOrMissing
) -> tuple[Float32Array, Mask | None]:
    """Return pairs (n_pairs, 2, H, W) as float32, and where they hold no data, or None."""

    def check_shape(array: NDArray) -> None:
        if array.ndim != 4 or array.shape[1] != 2 or 0 in array.shape:
            raise ValueError(
                f"{name} has shape {array.shape}, but pairs are (n_pairs, 2, H, W); "
                f"pass np.stack of pairs, each with the earlier frame first."
            )

    return as_frames(
        pairs, check_shape, name=name, bad_pixels=bad_pixels, unit="pair", leaves_out=True
    )


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


def check_frame(frame: ArrayLike, *, name: str = "frame") -> Float32Array:
    """Return one frame as float32 of shape (H, W)."""
    return check_masked_frame(frame, name=name, bad_pixels=None)[0]


def check_masked_frame(
    frame: ArrayLike, *, name: str, bad_pixels: BadOrMissing
) -> tuple[Float32Array, Mask | None]:
    """Return one frame (H, W), and where it holds no data, or None."""
    array: Any = frame if isinstance(frame, np.ma.MaskedArray) else _as_real(frame, name)
    if array.ndim != 2:
        raise ValueError(f"{name} has {array.ndim} dimensions; pass one frame of shape (H, W).")
    frames, missing = as_frames(
        array[np.newaxis],
        lambda array: check_stack_shape(array.shape, name),
        name=name,
        bad_pixels=bad_pixels,
        leaves_out=True,
    )
    return frames[0], None if missing is None else missing[0]
