"""Frames in tif files, as ImageJ, HyperSpy and cameras write them."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._output import whole_file
from ._grey import to_grey
from ._units import nm_per_unit

# Above this a classic tif, which ImageJ requires, can't hold the data and its own tables.
_CLASSIC_TIFF_BYTES = 2**32 - 2**25


def read(path: Path) -> tuple[NDArray[Any], float | None]:
    """Read all pages, and the pixel size that ImageJ or HyperSpy wrote."""
    import tifffile

    with _log_errors_raised(tifffile.logger()), tifffile.TiffFile(path) as tiff:
        blocks = []
        for series in tiff.series:
            block = series.asarray()
            # S is the axis of colours. Colours in separate planes are frames: tifffile stores a
            # stack of three frames so by default.
            if series.axes.endswith("S"):
                block = to_grey(block, n_dims=block.ndim - 1)
            # tifffile drops axes of length one, so the shape comes from the page.
            page = series.keyframe
            blocks.append(block.reshape(-1, page.imagelength, page.imagewidth))
        shapes = sorted({block.shape[1:] for block in blocks})
        if len(shapes) > 1:
            sizes = " and ".join(f"{height} x {width}" for height, width in shapes)
            raise ValueError(f"its pages have several sizes, {sizes} px")
        return np.concatenate(blocks), _imagej_pixel_size(tiff)


def write(path: Path, frames: NDArray[Any], pixel_size: float | None) -> None:
    """Write a stack as float32, one page per frame; above 4 GB as BigTIFF without a pixel size."""
    import tifffile

    big = 4 * frames.size > _CLASSIC_TIFF_BYTES
    layout: dict[str, Any] = {"bigtiff": True} if big else {"imagej": True}
    n_frames, height, width = frames.shape
    if pixel_size is not None and not big:
        layout["resolution"] = (1 / pixel_size, 1 / pixel_size)
    with whole_file(path) as temporary:
        tifffile.imwrite(
            temporary,
            (np.ascontiguousarray(frame, dtype=np.float32) for frame in frames),
            # All six axes, or tifffile drops a height or width of one.
            shape=(n_frames, 1, 1, height, width, 1),
            dtype=np.float32,
            photometric="minisblack",
            metadata={"axes": "TZCYXS"} | ({} if pixel_size is None else {"unit": "nm"}),
            **layout,
        )


@contextmanager
def _log_errors_raised(logger: logging.Logger) -> Iterator[None]:
    """Raise the errors that tifffile only logs: otherwise a cut file would lack frames."""

    class Raise(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ValueError(record.getMessage())

    handler = Raise(level=logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _imagej_pixel_size(tiff: Any) -> float | None:
    """Return nm per pixel from the ImageJ header; other headers hold printing resolutions."""
    nm = nm_per_unit(str((tiff.imagej_metadata or {}).get("unit", "")))
    tags = tiff.pages[0].tags
    x, y = (tags.valueof(name, default=(0, 1)) for name in ("XResolution", "YResolution"))
    if nm is None or not (x[0] and y[0]):
        return None
    if not math.isclose(x[1] / x[0], y[1] / y[0], rel_tol=0.01):
        return None  # a pixel that is not square has no single size
    # The header holds a ratio of integers, good to about seven digits.
    return float(f"{x[1] / x[0] * nm:.6g}")
