"""Write stacks that other programs open without loss."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .._constraints import Interval, Sequence, check_arguments
from .._validation import _as_real
from ._coverage import coverage_path, split_coverage
from ._formats import find_writer
from ._frame_stack import FrameStack, PixelSize

# A tif holds ratios of 32-bit integers.
_NM = Interval(float, 1e-9, 1e9, unit="nm")


@check_arguments(path=["path"], pixel_size=[_NM, Sequence(_NM, 2), None])
def write_stack(
    path: str | os.PathLike[str],
    stack: FrameStack | ArrayLike,
    *,
    pixel_size: PixelSize | None = None,
) -> None:
    """Write a stack in the format of the path's ending: tif, ome.tif, hspy, zspy, mrc or npy.

    The file appears under its name only when it is complete. Integers and float32 are kept as they
    are; other floats become float32. The pixel size is written where ImageJ, DigitalMicrograph and
    HyperSpy read it. The metadata of a FrameStack are written too, except to npy and mrc files. A
    tif above 4 GB becomes a BigTIFF, which ImageJ opens without the pixel size.

    Pixels without data, which are masked or in no frame of an average, become 0. Their coverage is
    then written beside the file, as ``average_coverage.tif`` of ``average.tif``: the number of
    frames that show a pixel. :func:`read_stack` reads it along and gives the mask.

    Parameters
    ----------
    path : path
        File to write, ending in ``.tif``, ``.tiff``, ``.hspy``, ``.zspy``, ``.mrc``, ``.mrcs`` or
        ``.npy``; an earlier one is replaced. hspy, zspy and mrc need
        ``pip install 'stemkit[formats]'``.
    stack : FrameStack, AveragedSeries or array-like of shape (n_frames, H, W) or (H, W)
        Frames, or the average of a series.
    pixel_size : float or (float, float), optional
        Length of a pixel in nm, or (y, x) of an oblong one; by default that of the FrameStack.

    Raises
    ------
    ValueError
        If `path` has another ending, `stack` is not a stack of real frames, a value is NaN,
        infinite or beyond float32, or `pixel_size` is not between 1e-9 and 1e9. Nothing is
        written then.
    ImportError
        If a package is missing that writes this format.
    OSError
        If the file can't be written, as on a full disk. An earlier one is left as it was.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from stemkit.io import write_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_stack(Path(folder) / "series.tif", np.zeros((3, 32, 48)), pixel_size=0.02)
    """
    path = Path(path)
    writer_of = find_writer(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist: make it first")
    stack, coverage = split_coverage(stack)
    described = stack if isinstance(stack, FrameStack) else FrameStack(np.empty((0, 0, 0)))
    frames = _as_real(stack, "stack")
    if frames.ndim == 2:
        frames = frames[np.newaxis]
    if frames.ndim != 3 or frames.size == 0:
        raise ValueError(
            f"stack has shape {frames.shape}: give a frame (H, W) or a stack (n_frames, H, W)"
        )
    described = replace(described, frames=_storable(frames))
    if pixel_size is not None:
        y, x = (float(side) for side in np.broadcast_to(pixel_size, 2))
        described = replace(described, pixel_size=x if x == y else (y, x))
    try:
        writer_of(path, described)
        if coverage is not None:
            counts = coverage.reshape(described.frames.shape)
            writer_of(coverage_path(path), FrameStack(counts, described.pixel_size))
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{path.suffix} files need the package {error.name}: pip install 'stemkit[formats]'"
        ) from error


def _storable(frames: np.ndarray) -> np.ndarray:
    """Return frames in a type that every program reads, checked for values that it can't hold."""
    kind = np.dtype(np.uint8) if frames.dtype.kind == "b" else frames.dtype.newbyteorder("=")
    if kind.kind != "f" and kind.itemsize <= 4:
        return frames.astype(kind, copy=False)
    if kind.kind in "iu":
        low, high = int(frames.min()), int(frames.max())
        for smaller in (np.uint32, np.int32):
            if np.iinfo(smaller).min <= low and high <= np.iinfo(smaller).max:
                return frames.astype(smaller)
    with np.errstate(over="ignore"):
        stored = frames.astype(np.float32, copy=False)
    for index, frame in enumerate(stored):
        if not np.isfinite(frame).all():
            raise ValueError(
                f"stack holds NaN, infinite values or values beyond float32 in frame {index}: "
                f"replace them first"
            )
    return stored
