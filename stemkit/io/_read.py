"""Read stacks of frames from files of any known format."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._constraints import Interval, check_arguments
from ._coverage import missing_beside
from ._formats import find_reader
from ._frame_stack import FrameStack, PerFrame, PixelSize
from ._paths import find_files, is_folder_of_files
from ._unread import as_lazy


@check_arguments(
    signal=[str, Interval(int, 0, None), None],
    lazy=["boolean"],
    max_bytes=[Interval(int, 1, None, unit="bytes"), None],
)
def read_stack(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    signal: str | int | None = None,
    lazy: bool = False,
    max_bytes: int | None = None,
) -> FrameStack:
    """Read frames of one shape from a file, several files, a folder or a pattern.

    Parameters
    ----------
    paths : path or iterable of paths
        A file, files in the order of time, a folder or a pattern such as ``"series/im*.tif"``. A
        folder and a pattern are one series, in natural order (im2 before im10). The error for an
        unknown ending lists all that can be read; dm3, dm4, emd, ser, mrc, hspy, zspy and others
        need ``pip install 'stemkit[formats]'``.
    signal : str or int, optional
        Detector, channel or signal to read from files that hold several: its name, a part of its
        name, or its number from 0. Without it an error lists them.
    lazy : bool, default=False
        Whether to leave the intensities in the files: `frames` is then a dask array in chunks of
        whole frames.
    max_bytes : int, optional
        Largest number of bytes to read into memory. By default half of the free memory.

    Returns
    -------
    FrameStack
        The frames in the type of the files, with pixel size, names, times and all else that the
        files record. A list of files has one pixel size if it differs by less than a percent.
        Dwell times and exposures that differ are arrays with one number for each frame. Where a
        file beside it ending in ``_coverage``, as :func:`write_stack` writes it, is 0, pixels are
        in `mask`, unless `lazy`.

    Raises
    ------
    FileNotFoundError
        If a file does not exist, or nothing matches a pattern.
    ImportError
        If a package is missing that reads this format.
    MemoryError
        If the frames are larger than `max_bytes`.
    ValueError
        If a file can't be read as its ending requires, holds several signals and `signal` chooses
        none, contains colours or values that are not finite real numbers, or if shapes, types or
        pixel sizes differ between files.

    Warns
    -----
    UserWarning
        If a list of files is in alphabetical order and their numbers have another, or if the last
        axis of an npy file may be time.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from stemkit.io import read_stack, write_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "series.tif"
    ...     write_stack(path, np.zeros((3, 32, 48), "uint16"), pixel_size=0.02)
    ...     stack = read_stack(path)
    >>> stack
    FrameStack: 3 frames of 32 x 48 px, uint16, pixels of 0.02 nm
    >>> stack.names
    ('series.tif[0]', 'series.tif[1]', 'series.tif[2]')
    """
    files = find_files(paths)
    opened = [_open(file, signal) for file in files]
    _check_alike(files, opened)
    if lazy:
        blocks = [_lazy(file, stack) for file, stack in zip(files, opened, strict=True)]
        import dask.array

        frames = dask.array.concatenate(blocks)
    else:
        n_bytes = sum(math.prod(stack.shape) * stack.dtype.itemsize for stack in opened)
        _check_memory(files, n_bytes, max_bytes)
        blocks = [_read(file, stack) for file, stack in zip(files, opened, strict=True)]
        frames = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    first = opened[0]
    mask = None if lazy else _missing(files, opened)
    return replace(
        first,
        frames=frames,
        mask=mask,
        pixel_size=_common_pixel_size(files, [stack.pixel_size for stack in opened]),
        names=tuple(_names(files, opened)),
        times=first.times if len(files) == 1 else None,
        dwell_time=_each_frame([stack.dwell_time for stack in opened], opened),
        exposure=_each_frame([stack.exposure for stack in opened], opened),
        metadata=first.metadata
        if len(files) == 1
        else {file.name: stack.metadata for file, stack in zip(files, opened, strict=True)},
    )


def _open(path: Path, signal: str | int | None) -> FrameStack:
    """Read the headers of one file, and return the stack of the chosen signal."""
    reader = find_reader(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if is_folder_of_files(path):
        raise ValueError(f"{path} is a folder inside a list of files: give its files")
    with _errors_of(path):
        stacks = reader(path)
    stack = _choose(path, stacks, signal)
    if stack.dtype.kind not in "buif":
        raise ValueError(f"{path} holds {stack.dtype} values, frames must be real numbers")
    if len(stack.shape) != 3 or math.prod(stack.shape) == 0:
        raise ValueError(
            f"{path} holds an array of shape {stack.shape}, "
            "give a frame (H, W) or a stack (n_frames, H, W)"
        )
    return stack


def _choose(path: Path, stacks: list[FrameStack], signal: str | int | None) -> FrameStack:
    names = [stack.detector or f"signal {index}" for index, stack in enumerate(stacks)]
    if signal is None:
        if len(stacks) == 1:
            return stacks[0]
        raise ValueError(
            f"{path} holds several signals, {_listed(names)}: choose one by signal= (in the "
            f"command, --signal)"
        )
    if not isinstance(signal, str):
        chosen = [signal] if signal < len(stacks) else []
    else:
        chosen = [index for index, name in enumerate(names) if name == signal] or [
            index for index, name in enumerate(names) if signal.lower() in name.lower()
        ]
    if len(chosen) != 1:
        found = "several signals" if chosen else "no signal"
        raise ValueError(f"{path} has {found} {signal!r}, it holds {_listed(names)}")
    return stacks[chosen[0]]


def _listed(names: list[str]) -> str:
    return ", ".join(f"{index}: {name}" for index, name in enumerate(names))


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turn the errors of a decoder into one sentence that names the file."""
    try:
        yield
    except (MemoryError, PermissionError):
        raise
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{path} needs the package {error.name} to be read: pip install 'stemkit[formats]'"
        ) from error
    except Exception as error:  # a decoder may raise anything for a broken file
        reason = str(error).partition(". ")[0].strip().rstrip(".") or type(error).__name__
        raise ValueError(f"{path} can't be read as {path.suffix[1:].lower()}: {reason}") from error


def _read(path: Path, stack: FrameStack) -> NDArray[Any]:
    """Return the frames of one file, checked."""
    with _errors_of(path):
        frames = np.array(stack.frames, order="C", copy=None)
        if isinstance(frames, np.memmap):
            frames = np.array(frames)
    if not frames.dtype.isnative:
        frames = frames.astype(frames.dtype.newbyteorder("="))
    if frames.shape != stack.shape:
        raise ValueError(f"{path} is cut: its header names {stack.shape}, it holds {frames.shape}")
    if frames.dtype.kind == "f":
        for index, frame in enumerate(frames):
            with np.errstate(over="ignore"):  # values that overflow become infinite
                is_finite = np.isfinite(frame.astype(np.float32, copy=False)).all()
            if not is_finite:
                raise ValueError(
                    f"{path}, frame {index}, holds values that are NaN, infinite or beyond "
                    "float32: replace them, for instance by the frame's median"
                )
    return np.ascontiguousarray(frames)


def _lazy(path: Path, stack: FrameStack) -> Any:
    try:
        with _errors_of(path):
            frames = as_lazy(stack.frames)
    except ImportError as error:
        raise ImportError(
            "lazy=True needs dask and zarr: pip install 'stemkit[formats]'"
        ) from error
    if frames is None:
        raise ValueError(f"{path} can't be read lazily: pass lazy=False")
    return frames


def _check_memory(files: list[Path], n_bytes: int, max_bytes: int | None) -> None:
    if max_bytes is None:
        import psutil

        limit, source = psutil.virtual_memory().available // 2, "half of the free memory"
    else:
        limit, source = max_bytes, "max_bytes"
    if n_bytes > limit:
        where = str(files[0]) if len(files) == 1 else f"{len(files)} files"
        raise MemoryError(
            f"{where} would take {_size(n_bytes)}, {source} is {_size(limit)}: read a part of the "
            f"files, pass lazy=True, or a larger max_bytes"
        )


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.3g} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.3g} MB"


def _check_alike(files: list[Path], stacks: list[FrameStack]) -> None:
    first = stacks[0]
    for file, stack in zip(files, stacks, strict=True):
        if stack.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"frames must have one shape, but {files[0]} has {_sides(first.shape[1:])} px "
                f"and {file} has {_sides(stack.shape[1:])} px: crop them alike or leave one out"
            )


def _names(files: list[Path], stacks: list[FrameStack]) -> Iterator[str]:
    for file, stack in zip(files, stacks, strict=True):
        n = stack.shape[0]
        yield from [file.name] if n == 1 else (f"{file.name}[{i}]" for i in range(n))


def _common_pixel_size(files: list[Path], sizes: list[PixelSize | None]) -> PixelSize | None:
    known = [(file, size) for file, size in zip(files, sizes, strict=True) if size is not None]
    if not known:
        return None
    first_file, first = known[0]
    for file, size in known:
        if not np.allclose(np.broadcast_to(first, 2), np.broadcast_to(size, 2), rtol=0.01, atol=0):
            raise ValueError(
                f"frames must have one pixel size, but {first_file} has {_nm(first)} nm and {file} "
                f"has {_nm(size)} nm: leave one out"
            )
    return first


def _missing(files: list[Path], stacks: list[FrameStack]) -> NDArray[np.bool_] | None:
    """Return where frames hold no data, by the files with their coverage; None if all do."""

    def read(path: Path) -> NDArray[Any]:
        return _read(path, _open(path, None))

    masks = []
    for file, stack in zip(files, stacks, strict=True):
        beside = missing_beside(file, stack.shape, read)
        masks.append(beside if stack.mask is None else beside | stack.mask)
    return np.concatenate(masks) if any(mask.any() for mask in masks) else None


def _each_frame(values: list[PerFrame | None], stacks: list[FrameStack]) -> PerFrame | None:
    """Return a quantity of frames, one number if all have the same, None if a file lacks it."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    each = np.concatenate(
        [np.broadcast_to(value, stack.shape[0]) for value, stack in zip(known, stacks, strict=True)]
    ).astype(float)
    return float(each[0]) if np.allclose(each, each[0], rtol=1e-6, atol=0) else each


def _nm(size: PixelSize) -> str:
    return " x ".join(f"{side:.4g}" for side in np.atleast_1d(size))


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
