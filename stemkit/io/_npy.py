"""Arrays that NumPy saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._output import whole_file
from .._warnings import warn_caller
from ._frame_stack import FrameStack

# An array whose first two axes are longer than this may have colours or time in its last one.
_MIN_SIDE = 16


def read(path: Path) -> list[FrameStack]:
    """Open a frame or a stack; npy files have no pixel size."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    # NumPy ignores what follows the array, but then its header may name too few frames.
    if isinstance(array, np.memmap) and array.offset + array.nbytes < path.stat().st_size:
        raise ValueError(f"its header names an array of shape {array.shape}, but it holds more")
    if array.ndim == 2:
        return [FrameStack(array[np.newaxis])]
    if array.ndim == 3 and min(array.shape[:2]) > _MIN_SIDE:
        if array.shape[2] <= 4:
            return [FrameStack(_grey_or_error(array))]
        if array.shape[2] <= min(array.shape[:2]) / 2:
            n, height, width = array.shape
            warn_caller(
                f"{path} has shape {array.shape} and is read as {n} frames of {height} x {width} "
                f"px. If its last axis is time, pass np.moveaxis(np.load(path), -1, 0) instead."
            )
    return [FrameStack(array)]


def write(path: Path, stack: FrameStack) -> None:
    """Write the frames alone, in their type."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.asarray(stack.frames), allow_pickle=False)


def _grey_or_error(array: NDArray[Any]) -> NDArray[Any]:
    """Return the frame of an image (H, W, channels) in which all channels are equal."""
    if (array == array[..., :1]).all():
        return np.ascontiguousarray(array[np.newaxis, ..., 0])
    raise ValueError(
        f"it has shape {array.shape}, of which the last axis is time or colour: pass "
        f"np.moveaxis(np.load(path), -1, 0) if it is time"
    )
