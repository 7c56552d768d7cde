"""Stacks of frames from files of any known format, and into tif files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._constraints import Interval, check_arguments, check_value
from .._validation import _as_real
from ._formats import find_reader
from ._tif import write


class FrameStack(NamedTuple):
    """Frames with the information that their files contain; unpacks like a tuple.

    Attributes
    ----------
    frames : ndarray of shape (n_frames, H, W), float32
        Intensities as they are in the files, not rescaled.
    pixel_size : float or None
        Length of a pixel in nm; None if the files don't contain it.
    names : tuple of str
        Where each frame comes from: the name of the file, followed by the index of the frame in
        brackets if the file holds more than one.
    """

    frames: NDArray[np.float32]
    pixel_size: float | None
    names: tuple[str, ...]


def read_stack(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> FrameStack:
    """Read frames of one shape from one or several files, in the order given.

    Parameters
    ----------
    paths : path or iterable of paths
        Files such as ``.png``, ``.tif`` or ``.npy``; the error for an unknown ending lists all
        that can be read. A tif with several pages and a 3-D npy hold several frames. A png or tif
        in colour is read if it contains only grey.

    Returns
    -------
    FrameStack
        The frames as float32 with shape (n_frames, H, W), the pixel size in nm (from tif files that
        ImageJ, HyperSpy or :func:`write_stack` wrote) and the name of each frame. Integers of up
        to 24 bits are kept exactly.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ValueError
        If a file can't be read as its ending requires, if it contains colours or values that are
        not finite real numbers, or if shapes or pixel sizes differ between files.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from stemkit.io import read_stack, write_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "series.tif"
    ...     write_stack(path, np.zeros((3, 32, 48)), pixel_size=0.02)
    ...     stack = read_stack(path)
    >>> stack.frames.shape, stack.pixel_size
    ((3, 32, 48), 0.02)
    >>> stack.names
    ('series.tif[0]', 'series.tif[1]', 'series.tif[2]')
    """
    files = _as_paths(paths)
    blocks: list[NDArray[np.float32]] = []
    sizes: list[float | None] = []
    names: list[str] = []
    for file in files:
        block, size = _read_file(file)
        if block.shape[1:] != (blocks or [block])[0].shape[1:]:
            raise ValueError(
                f"frames must have one shape, but {files[0]} has {_size(blocks[0].shape[1:])} px "
                f"and {file} has {_size(block.shape[1:])} px: crop them alike or leave one out"
            )
        blocks.append(block)
        sizes.append(size)
        n = len(block)
        names += [file.name] if n == 1 else [f"{file.name}[{i}]" for i in range(n)]
    frames = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return FrameStack(frames, _common_pixel_size(files, sizes), tuple(names))


@check_arguments(
    path=["path"], pixel_size=[Interval(float, 0, None, closed="neither", unit="nm"), None]
)
def write_stack(
    path: str | os.PathLike[str],
    stack: ArrayLike,
    *,
    pixel_size: float | None = None,
) -> None:
    """Write a stack as a float32 tif, one page per frame.

    The file appears under its name only when it is complete. ImageJ, HyperSpy and
    :func:`read_stack` read the pixel size back; a stack above 4 GB becomes a BigTIFF without it.

    Parameters
    ----------
    path : path
        File to write, ending in ``.tif`` or ``.tiff``; an earlier one is replaced.
    stack : array-like of shape (n_frames, H, W) or (H, W)
        Frames. Converted to float32 one at a time, so that a memory-mapped stack stays on disk.
    pixel_size : float, optional
        Length of a pixel in nm.

    Raises
    ------
    ValueError
        If `path` has another ending, `stack` is not a stack of real frames or `pixel_size` is not
        positive.
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
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise ValueError(f"path must end in .tif or .tiff, got {path.name!r}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist: make it first")
    frames = _as_real(stack, "stack")
    if frames.ndim == 2:
        frames = frames[np.newaxis]
    if frames.ndim != 3 or frames.size == 0:
        raise ValueError(
            f"stack has shape {frames.shape}: give a frame (H, W) or a stack (n_frames, H, W)"
        )
    write(path, frames, None if pixel_size is None else float(pixel_size))


def _as_paths(paths: object) -> list[Path]:
    is_one = isinstance(paths, str | os.PathLike | Mapping) or not np.iterable(paths)
    files: list[Any] = [paths] if is_one else list(paths)  # type: ignore[call-overload]
    if not files:
        raise ValueError("paths is empty: give at least one file")
    for file in files:
        check_value(file, "paths", ["path"])
    return [Path(file) for file in files]


def _read_file(path: Path) -> tuple[NDArray[np.float32], float | None]:
    """Return the frames of one file as float32 (n, H, W), and the pixel size in nm or None."""
    if path.is_dir():
        raise ValueError(
            f"{path} is a folder and paths must be files: give them in the order of time, as "
            f"{path / '*.tif'} does in a shell, or sorted(Path({str(path)!r}).glob('*.tif')) in "
            f"Python"
        )
    reader = find_reader(path)
    if not path.exists():
        hint = ": list the files, wildcards are for a shell" if set("*?") & set(path.name) else ""
        raise FileNotFoundError(f"{path} does not exist{hint}")
    if not path.is_file():
        raise ValueError(f"{path} is neither a file nor a folder: give the image files")
    try:
        frames, pixel_size = reader(path)
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # a decoder may raise anything for a broken file
        reason = str(error).partition(". ")[0].strip().rstrip(".") or type(error).__name__
        raise ValueError(f"{path} can't be read as {path.suffix[1:].lower()}: {reason}") from error
    if frames.dtype.kind not in "buif":
        raise ValueError(f"{path} holds {frames.dtype} values, frames must be real numbers")
    if frames.ndim != 3 or frames.size == 0:
        raise ValueError(
            f"{path} holds an array of shape {frames.shape}, "
            "give a frame (H, W) or a stack (n_frames, H, W)"
        )
    with np.errstate(over="ignore"):  # values that overflow become infinite and are found below
        frames = np.ascontiguousarray(frames, dtype=np.float32)
    for index, frame in enumerate(frames):
        if not np.isfinite(frame).all():
            raise ValueError(
                f"{path}, frame {index}, holds values that are NaN, infinite or beyond float32: "
                "replace them, for instance by the frame's median"
            )
    return frames, pixel_size


def _common_pixel_size(files: list[Path], sizes: list[float | None]) -> float | None:
    known = [(file, size) for file, size in zip(files, sizes, strict=True) if size is not None]
    if not known:
        return None
    first_file, first = known[0]
    for file, size in known:
        if not math.isclose(first, size, rel_tol=0.01):
            raise ValueError(
                f"frames must have one pixel size, but {first_file} has {first:.4g} nm and {file} "
                f"has {size:.4g} nm: leave one out"
            )
    return first


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
