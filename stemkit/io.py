"""Read frames from files, and write stacks that other programs open without loss.

Png, tif and npy are read here; the formats that microscopes write come through the same
:func:`read_stack` later.
"""

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._output import whole_file

__all__ = ["FrameStack", "read_stack", "write_stack"]

_NM_PER_UNIT = {
    "nm": 1.0,
    "pm": 1e-3,
    "å": 0.1,
    "angstrom": 0.1,
    "µm": 1e3,
    "μm": 1e3,  # Greek mu; the one above is the micro sign
    "um": 1e3,
    "micron": 1e3,
}
# Beyond this a classic tif, which ImageJ asks for, can't hold the data and its own tables.
_CLASSIC_TIFF_BYTES = 2**32 - 2**25


class FrameStack(NamedTuple):
    """Frames with what their files say about them; unpacks like a tuple.

    Attributes
    ----------
    frames : ndarray of shape (n_frames, H, W), float32
        Intensities as they stand in the files, not rescaled.
    pixel_size : float or None
        Length of a pixel in nm; None where the files don't say.
    names : tuple of str
        Where each frame comes from: the file's name, with the index of the frame in brackets if
        the file holds more than one.
    """

    frames: NDArray[np.float32]
    pixel_size: float | None
    names: tuple[str, ...]


def read_stack(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> FrameStack:
    """Read frames of one shape from one or several files, in the order given.

    Parameters
    ----------
    paths : path or iterable of paths
        Files ending in ``.png``, ``.tif``, ``.tiff`` or ``.npy``. A tif with several pages and a
        3-D npy hold several frames. A png or tif in colour is read if it shows grey only.

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
        If a file can't be read as what its ending says, holds colours or values which are not
        finite real numbers, or if shapes or pixel sizes differ between files.

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
    files = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(p) for p in paths]
    if not files:
        raise ValueError("no files to read: give at least one png, tif or npy file")
    blocks: list[NDArray[np.float32]] = []
    sizes: list[float | None] = []
    names: list[str] = []
    for file in files:
        block, size = _read_file(file)
        if block.shape[1:] != (blocks or [block])[0].shape[1:]:
            raise ValueError(
                f"frames must have one shape, but {files[0]} has {_by(blocks[0].shape[1:])} px "
                f"and {file} has {_by(block.shape[1:])} px: crop them alike or leave one out"
            )
        blocks.append(block)
        sizes.append(size)
        n = len(block)
        names += [file.name] if n == 1 else [f"{file.name}[{i}]" for i in range(n)]
    frames = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return FrameStack(frames, _common_pixel_size(files, sizes), tuple(names))


def write_stack(
    path: str | os.PathLike[str],
    stack: ArrayLike,
    *,
    pixel_size: float | None = None,
) -> None:
    """Write a stack as a float32 tif, one page a frame, or leave `path` as it was.

    The file appears under its name only once it is whole. ImageJ, HyperSpy and
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
        If the file can't be written, as on a full disk.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from stemkit.io import write_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_stack(Path(folder) / "series.tif", np.zeros((3, 32, 48)), pixel_size=0.02)
    """
    import tifffile

    path = Path(path)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise ValueError(f"path must end in .tif or .tiff, got {path.name!r}")
    if pixel_size is not None and not (math.isfinite(pixel_size) and pixel_size > 0):
        raise ValueError(f"pixel_size must be a positive number of nm, got {pixel_size!r}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist: make it first")
    frames = np.asanyarray(stack)
    if frames.ndim == 2:
        frames = frames[np.newaxis]
    if frames.ndim != 3 or frames.size == 0 or frames.dtype.kind not in "buif":
        raise ValueError(
            "stack must be real numbers of shape (n_frames, H, W), "
            f"got {frames.dtype} of shape {frames.shape}"
        )
    big = 4 * frames.size > _CLASSIC_TIFF_BYTES
    layout: dict[str, Any] = {"bigtiff": True} if big else {"imagej": True}
    n_frames, height, width = frames.shape
    if pixel_size is not None and not big:
        layout["resolution"] = (1 / pixel_size, 1 / pixel_size)
    with whole_file(path) as partial:
        tifffile.imwrite(
            partial,
            (np.ascontiguousarray(frame, dtype=np.float32) for frame in frames),
            # All six axes, or tifffile takes a height or width of one for an axis to leave out.
            shape=(n_frames, 1, 1, height, width, 1),
            dtype=np.float32,
            photometric="minisblack",
            metadata={"axes": "TZCYXS"} | ({} if pixel_size is None else {"unit": "nm"}),
            **layout,
        )


def _read_file(path: Path) -> tuple[NDArray[np.float32], float | None]:
    """Return the frames of one file as float32 (n, H, W), and the pixel size in nm or None."""
    if path.is_dir():
        raise ValueError(
            f"{path} is a folder: give its files in the order of time, as {path / '*.tif'} does in "
            f"a shell, or sorted(Path({str(path)!r}).glob('*.tif')) in Python"
        )
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(
            f"{path} has an ending that is not known: give files ending in {', '.join(_READERS)}"
        )
    if not path.exists():
        hint = ": list the files, wildcards are for a shell" if set("*?") & set(path.name) else ""
        raise FileNotFoundError(f"{path} does not exist{hint}")
    if not path.is_file():
        raise ValueError(f"{path} is neither a file nor a folder: give the image files")
    try:
        frames, pixel_size = reader(path)
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # decoders raise whatever they like for a broken file
        reason = str(error).partition(". ")[0].strip().rstrip(".") or type(error).__name__
        raise ValueError(f"{path} can't be read as {path.suffix[1:].lower()}: {reason}") from error
    if frames.dtype.kind not in "buif":
        raise ValueError(f"{path} holds {frames.dtype} values, frames must be real numbers")
    if frames.ndim != 3 or frames.size == 0:
        raise ValueError(
            f"{path} holds an array of shape {frames.shape}, "
            "give a frame (H, W) or a stack (n_frames, H, W)"
        )
    with np.errstate(over="ignore"):  # what overflows is infinite, and named below
        frames = np.ascontiguousarray(frames, dtype=np.float32)
    for index, frame in enumerate(frames):
        if not np.isfinite(frame).all():
            raise ValueError(
                f"{path}, frame {index}, holds values that are NaN, infinite or beyond float32: "
                "replace them, for instance by the frame's median"
            )
    return frames, pixel_size


def _read_npy(path: Path) -> tuple[NDArray[Any], None]:
    frames = np.load(path, allow_pickle=False)
    return (frames[np.newaxis] if frames.ndim == 2 else frames), None


def _read_png(path: Path) -> tuple[NDArray[Any], None]:
    import imageio.v3 as iio

    with path.open("rb") as file:
        header = file.read(26)
    # Pillow would silently cut 16-bit colour down to 8 bits.
    if header[24:25] == b"\x10" and header[25:26] not in (b"\x00", b""):
        raise ValueError("it has 16 bits and colours or transparency, save it as grey")
    return _grey(iio.imread(path, plugin="pillow", index=0), n_dims=2)[np.newaxis], None


def _read_tiff(path: Path) -> tuple[NDArray[Any], float | None]:
    import tifffile

    with _log_errors_raised(tifffile.logger()), tifffile.TiffFile(path) as tiff:
        blocks = []
        for series in tiff.series:
            block = series.asarray()
            # S are the colours of a pixel. Where they lie in separate planes, the planes are
            # frames: so tifffile stores a stack of three unless it is told better.
            if series.axes.endswith("S"):
                block = _grey(block, n_dims=block.ndim - 1)
            # tifffile drops axes of length one, so the shape comes from the page.
            page = series.keyframe
            blocks.append(block.reshape(-1, page.imagelength, page.imagewidth))
        shapes = sorted({_by(block.shape[1:]) for block in blocks})
        if len(shapes) > 1:
            raise ValueError(f"its pages have several sizes, {' and '.join(shapes)} px")
        return np.concatenate(blocks), _imagej_pixel_size(tiff)


_READERS: dict[str, Callable[[Path], tuple[NDArray[Any], float | None]]] = {
    ".png": _read_png,
    ".tif": _read_tiff,
    ".tiff": _read_tiff,
    ".npy": _read_npy,
}


@contextmanager
def _log_errors_raised(logger: logging.Logger) -> Iterator[None]:
    """Raise what tifffile only logs: after it, a cut file would lack frames without a word."""

    class Raise(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ValueError(record.getMessage())

    handler = Raise(level=logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _grey(image: NDArray[Any], *, n_dims: int) -> NDArray[Any]:
    """Drop the last axis, the colours, of an image that shows nothing but grey."""
    if image.ndim == n_dims:
        return image
    n_channels = image.shape[-1]
    if n_channels in (2, 4):  # the last one is opacity
        opacity = image[..., -1]
        if opacity.min() != opacity.max():
            raise ValueError("it is partly transparent, save it as a grey image")
        image = image[..., :-1]
    if (image != image[..., :1]).any():
        raise ValueError("it shows colours, save it as a grey image")
    return image[..., 0]


def _imagej_pixel_size(tiff: Any) -> float | None:
    """Return nm per pixel from the ImageJ header; other headers hold printing resolutions."""
    unit = str((tiff.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ").lower()
    tags = tiff.pages[0].tags
    x, y = (tags.valueof(name, default=(0, 1)) for name in ("XResolution", "YResolution"))
    if unit not in _NM_PER_UNIT or not (x[0] and y[0]):
        return None
    if not math.isclose(x[1] / x[0], y[1] / y[0], rel_tol=0.01):
        return None  # one number can't tell the size of a pixel that is not square
    # The header holds a ratio of whole numbers, good to about seven digits.
    return float(f"{x[1] / x[0] * _NM_PER_UNIT[unit]:.6g}")


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


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
