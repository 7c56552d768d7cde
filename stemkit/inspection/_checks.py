"""Checks of the arguments that several displays have."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._constraints import check_value
from .._labelled import axes_of
from .._validation import Float32Array, check_frames
from ..io import FrameStack, as_frame_stack

_NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}


def frame_of(frame: ArrayLike, name: str) -> NDArray[Any]:
    """Return a frame as an array; a stack that knows more than its frames may hold a single one."""
    if not isinstance(frame, FrameStack) and axes_of(frame) is None:
        return np.asarray(frame)
    frames = check_frames(as_frame_stack(frame), name=name)
    return frames[0] if len(frames) == 1 else frames


def check_frame(frame: ArrayLike, name: str, shape: tuple[int, ...] | None = None) -> Float32Array:
    """Return one frame as float32; `shape` is the shape of `noisy` that it must have, if any."""
    array = frame_of(frame, name)
    if array.ndim != 2 or (shape is not None and array.shape != shape):
        required = "(H, W)" if shape is None else f"{shape}, that of noisy"
        raise ValueError(
            f"{name} has shape {array.shape}, but must be one frame of shape {required}; pass one "
            f"frame of the stack, as {name}[0]."
        )
    return check_frames(array[np.newaxis], name=name)[0]


def check_table(table: object, name: str, columns: Collection[str]) -> None:
    """Raise an error if `table` is not a DataFrame with these columns."""
    import pandas as pd

    check_value(table, name, [pd.DataFrame])
    missing = set(columns) - set(getattr(table, "columns", ()))
    if missing:
        raise ValueError(f"{name} lacks column(s) {', '.join(sorted(missing))}.")


def check_axes(ax: Any, n_axes: int, contents: str) -> NDArray[Any]:
    """Return the Axes to draw into as an array.

    Parameters
    ----------
    ax : Axes or array-like of Axes
        What the user passed.
    n_axes : int
        Number of panels of the display.
    contents : str
        What they show, for the message.

    Raises
    ------
    ValueError
        If `ax` does not hold `n_axes` Axes.
    """
    from matplotlib.axes import Axes

    axes = np.ravel(ax)
    if len(axes) != n_axes or not all(isinstance(panel, Axes) for panel in axes):
        found = sum(isinstance(panel, Axes) for panel in axes)
        raise ValueError(f"ax must hold {_NUMBERS[n_axes]} Axes, for {contents}; got {found}.")
    return axes
