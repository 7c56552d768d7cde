"""Pixels without data in files: zeros, and beside the file another with the coverage.

No format holds a mask that all programs read, and NaN is none of an integer. The coverage is the
number of frames that show a pixel, 0 where there are no data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._frame_stack import FrameStack

_SUFFIX = "_coverage"
_OME = (".ome.tif", ".ome.tiff")


def coverage_path(path: Path) -> Path:
    """Return the name of the file with the coverage of another, of the same ending."""
    lower = path.name.lower()
    ending = next((end for end in _OME if lower.endswith(end)), path.suffix)
    stem = path.name[: len(path.name) - len(ending)]
    return path.with_name(f"{stem}{_SUFFIX}{path.name[len(stem) :]}")


def without_coverages(files: Iterable[Path]) -> list[Path]:
    """Return files without those that are the coverage of another one of them."""
    files = list(files)
    left_out = {coverage_path(file) for file in files}
    return [file for file in files if file not in left_out]


def split_coverage(stack: Any) -> tuple[Any, NDArray[Any] | None]:
    """Return frames with zeros where they hold no data, and their coverage.

    Parameters
    ----------
    stack : FrameStack, masked array, average or array
        What is to be written.

    Returns
    -------
    frames : FrameStack or array
        The frames; the same object if they hold data everywhere.
    coverage : ndarray of the shape of the frames, or None
        Unsigned integers; None if the frames hold data everywhere.
    """
    if hasattr(stack, "coverage") and hasattr(stack, "mean"):
        coverage = np.asarray(stack.coverage)
        frames = np.where(coverage > 0, np.ma.getdata(stack.mean), np.float32(0))
        described = FrameStack(frames[np.newaxis], getattr(stack, "pixel_size", None))
        return described, coverage.astype(_dtype(int(coverage.max(initial=0))))[np.newaxis]
    if isinstance(stack, np.ma.MaskedArray):
        missing = np.ma.getmaskarray(stack)
        values = np.asarray(stack.data)
    elif isinstance(stack, FrameStack) and stack.mask is not None:
        missing = np.broadcast_to(np.asarray(stack.mask, dtype=bool), stack.shape)
        values = np.asarray(stack.frames)
    else:
        return stack, None
    if not missing.any():
        return (replace(stack, mask=None) if isinstance(stack, FrameStack) else values), None
    values = np.where(missing, values.dtype.type(0), values)
    coverage = (~missing).astype(np.uint16)
    if isinstance(stack, FrameStack):
        return replace(stack, frames=values, mask=None), coverage
    return values, coverage


def _dtype(highest: int) -> type[np.unsignedinteger]:
    return np.uint16 if highest < 2**16 else np.uint32


def missing_beside(
    path: Path, shape: tuple[int, ...], read: Callable[[Path], NDArray[Any]]
) -> NDArray[np.bool_]:
    """Return where a file of frames holds no data, from the coverage beside it if there is one."""
    beside = coverage_path(path)
    if not beside.exists():
        return np.zeros(shape, dtype=bool)
    coverage = read(beside)
    if coverage.shape != shape:
        raise ValueError(
            f"{beside} has shape {coverage.shape}, but {path}, whose coverage it is by its name, "
            f"has {shape}: rename one of them"
        )
    return coverage == 0
