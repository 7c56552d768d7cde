"""Stacks from the objects of other packages, with what these know about the frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._labelled import NoFramesError, axes_of
from .._validation import _as_real, check_stack_shape
from ._frame_stack import FrameStack, PixelSize
from ._rosettasciio import stack_of_signal
from ._unread import Unread


def as_frame_stack(X: ArrayLike | FrameStack) -> FrameStack:
    """Return frames as a FrameStack, with the pixel size, the times and the mask that they have.

    Nothing is computed and no array is copied, so that dask arrays stay lazy.

    Parameters
    ----------
    X : FrameStack, HyperSpy signal, xarray.DataArray or array-like of shape (n_frames, H, W)
        Frames.

        - Of a HyperSpy signal, the navigation axis is time. Pixel size, times, dose settings and
          title come from its axes and metadata.
        - Of a DataArray, the dimensions ``y`` and ``x`` (or ``height`` and ``width``) can be at any
          place, and are the last two if none have these names. Pixel size and times come from
          coordinates of these dimensions with ``attrs["units"]``; dates are times too.
        - A masked array gives the mask. NumPy, dask, torch and others have no pixel size.

    Returns
    -------
    FrameStack
        A single frame of HyperSpy or xarray becomes a stack of one. What `X` does not tell is
        unknown: sizes in pixels, in 1/nm or without a unit give no pixel size, irregular
        coordinates neither.

    Raises
    ------
    ValueError
        If `X` is not a stack of real numbers, or its axes are not those of frames.

    See Also
    --------
    read_stack : Frames from files.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.io import as_frame_stack
    >>> frames = np.ma.masked_less(np.arange(24).reshape(2, 3, 4), 2)
    >>> as_frame_stack(frames)
    FrameStack: 2 frames of 3 x 4 px, int64, pixel size unknown, 2 pixels are missing

    With xarray, or a signal of HyperSpy that was read with `hs.load`::

        series = xarray.DataArray(frames, dims=("time", "y", "x"), coords={
            "y": ("y", 0.02 * np.arange(3), {"units": "nm"}),
            "x": ("x", 0.02 * np.arange(4), {"units": "nm"}),
        })
        as_frame_stack(series).pixel_size    # 0.02
    """
    if isinstance(X, FrameStack):
        return X
    axes = axes_of(X)
    if axes is not None:
        stack = _of_labelled(X, axes)
    elif hasattr(X, "dask") or isinstance(X, np.ma.MaskedArray):
        stack = FrameStack(X)
    else:
        stack = FrameStack(_as_real(X, "X"))
    if stack.dtype.kind not in "buif":
        raise ValueError(
            f"X has dtype {stack.dtype}, but frames are real numbers; take the modulus or convert "
            f"them first."
        )
    check_stack_shape(stack.shape, "X")
    return stack


def _of_labelled(X: Any, axes: list[dict[str, Any]]) -> FrameStack:
    is_signal = hasattr(X, "axes_manager")
    signal = {"data": X.data, "axes": axes}
    for part in ("metadata", "original_metadata"):
        signal[part] = _as_dict(getattr(X, part, None)) if is_signal else {}
    try:
        stack = stack_of_signal(signal)
    except NoFramesError as error:
        raise ValueError(
            f"X holds no frames, but {error}; pass frames of real numbers, (n_frames, H, W)."
        ) from error
    if isinstance(stack.frames, Unread) and stack.frames.lazy is not None:
        stack = replace(stack, frames=stack.frames.lazy())
    if is_signal:
        return stack
    name = getattr(X, "name", None)
    return replace(
        stack,
        detector=None if name is None else str(name),
        metadata=dict(getattr(X, "attrs", {})),
    )


def _as_dict(tree: Any) -> Mapping[str, Any]:
    """Return the metadata of HyperSpy as nested dicts."""
    if hasattr(tree, "as_dictionary"):
        tree = tree.as_dictionary()
    return tree if isinstance(tree, Mapping) else {}


class Calibration(NamedTuple):
    """What frames tell about their pixels and times.

    Attributes
    ----------
    pixel_size : float, (float, float) or None
        In nm, (y, x) of oblong pixels.
    times : ndarray of shape (n_frames,) or None
        In s after the first.
    exposure : ndarray of shape (n_frames,) or None
        Product of dwell time and exposure, if these differ between frames.
    """

    pixel_size: PixelSize | None = None
    times: NDArray[np.float64] | None = None
    exposure: NDArray[np.float64] | None = None


def calibration_of(X: Any) -> Calibration:
    """Return what frames in any form tell about their pixels and times, without reading them."""
    if not isinstance(X, FrameStack) and axes_of(X) is None:
        return Calibration()
    try:
        stack = as_frame_stack(X)
    except ValueError:  # pairs of frames, or lines
        return Calibration()
    differing = [v for v in (stack.dwell_time, stack.exposure) if isinstance(v, np.ndarray)]
    exposure = np.prod(differing, axis=0) if differing else None
    return Calibration(stack.pixel_size, stack.times, exposure)


def pixel_sides(pixel_size: PixelSize) -> tuple[float, float]:
    """Return height and width of a pixel in nm."""
    y, x = np.broadcast_to(pixel_size, 2)
    return float(y), float(x)
