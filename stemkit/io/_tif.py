"""Frames in tif files, as ImageJ, DigitalMicrograph, HyperSpy and microscopes write them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._output import whole_file
from .._warnings import warn_caller
from ._frame_stack import FrameStack
from ._grey import to_grey
from ._plain import to_plain
from ._tif_metadata import (
    dm_tags,
    find_channel_names,
    find_metadata,
    find_pixel_size,
    ome_metadata,
)
from ._unread import Unread, frames_in_chunks

# Above this a classic tif, which ImageJ requires, can't hold the data and its own tables.
_CLASSIC_TIFF_BYTES = 2**32 - 2**25
_IMAGEJ_TYPES = ("uint8", "uint16", "float32")
_THUMBNAIL = 1  # a flag of tif's NewSubfileType: a smaller copy of another page


def read(path: Path) -> list[FrameStack]:
    """Open the signals of a file: its channels, and pages of another size or type."""
    import tifffile

    with _log_errors_raised(tifffile.logger()), tifffile.TiffFile(path) as tiff:
        metadata = find_metadata(tiff)
        pixel_size = find_pixel_size(tiff)
        channels = find_channel_names(tiff)
        parts = [
            part
            for index, series in enumerate(tiff.series)
            if not (index and series.keyframe.subfiletype & _THUMBNAIL)
            for part in _parts(path, index, series, channels)
        ]
    groups = _same_kind(parts)
    return [
        FrameStack(
            _joined(group),
            pixel_size,
            detector=group[0].name or (_page_name(group) if len(groups) > 1 else None),
            metadata=metadata,
        )
        for group in groups
    ]


class _Part:
    """Frames of one channel of one series of pages."""

    def __init__(
        self, path: Path, index: int, series: Any, *, channel: int | None, name: str | None
    ) -> None:
        self.path, self.index, self.channel, self.name = path, index, channel, name
        page = series.keyframe
        self.axes = series.axes
        self.is_colour = series.axes.endswith("S") and series.shape[-1] > 1
        # tifffile drops axes of length one, so the sides come from the page.
        sides = (page.imagelength, page.imagewidth)
        self.n_channels = 1 if channel is None else series.shape[series.axes.index("C")]
        n_colours = series.shape[-1] if self.is_colour else 1
        n_frames = series.size // (self.n_channels * n_colours * sides[0] * sides[1])
        self.shape = (n_frames, *sides)
        self.dtype = np.dtype(series.dtype)

    @property
    def kind(self) -> tuple[Any, ...]:
        """What frames of one stack share."""
        return (self.shape[1:], self.dtype, self.channel, self.is_colour)

    def read(self) -> NDArray[Any]:
        """Read the frames."""
        import tifffile

        with _log_errors_raised(tifffile.logger()), tifffile.TiffFile(self.path) as tiff:
            block = tiff.series[self.index].asarray()
        block = self.one_channel(block)
        if self.is_colour:
            block = to_grey(block, n_dims=block.ndim - 1)
        return block.reshape(self.shape)

    def one_channel(self, block: NDArray[Any]) -> NDArray[Any]:
        """Return this channel of all values of the series."""
        if self.channel is None:
            return block
        return np.take(block, self.channel, axis=self.axes.index("C"))

    def lazy(self) -> Any:
        """Return the frames as a dask array that opens the file for each chunk."""
        import dask.array

        chunks = frames_in_chunks(self.shape, self.dtype)
        return dask.array.from_array(_Pages(self), chunks=chunks, meta=np.empty(0, self.dtype))


class _Pages:
    """Frames that are read, when they are indexed, each from its page."""

    ndim = 3

    def __init__(self, part: _Part) -> None:
        self.part, self.shape, self.dtype = part, part.shape, part.dtype

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        import tifffile

        part = self.part
        with _log_errors_raised(tifffile.logger()), tifffile.TiffFile(part.path) as tiff:
            series = tiff.series[part.index]
            if series.dataoffset is not None:  # the pages follow each other, uncompressed
                block = tifffile.memmap(part.path, series=part.index, mode="r")
                return np.array(part.one_channel(block).reshape(part.shape)[key])
            first, step = part.channel or 0, part.n_channels
            numbers = [first + step * i for i in range(part.shape[0])[key[0]]]
            found: Any = series.pages
            pages = [found[number].asarray() for number in numbers]
        return np.stack(pages).reshape(-1, *part.shape[1:])[(slice(None), *key[1:])]


def _parts(path: Path, index: int, series: Any, channels: list[str]) -> Iterator[_Part]:
    lengths = dict(zip(series.axes, series.shape, strict=True))
    if min(lengths.get("T", 1), lengths.get("Z", 1)) > 1:
        raise ValueError(
            f"it has {lengths['T']} times and {lengths['Z']} focal planes: save one focal plane"
        )
    n_channels = lengths.get("C", 1)
    if n_channels == 1:
        yield _Part(path, index, series, channel=None, name=None)
        return
    if not channels and max(lengths.get(axis, 1) for axis in "TZIQ") == 1:
        # tifffile and others write series of frames as channels without names.
        warn_caller(
            f"{path} has {n_channels} channels without names or times: they are read as frames. "
            f"If they are detectors, take one of stack.frames."
        )
        yield _Part(path, index, series, channel=None, name=None)
        return
    names = channels if len(channels) == n_channels else [f"channel {i}" for i in range(n_channels)]
    for channel, name in enumerate(names):
        yield _Part(path, index, series, channel=channel, name=name)


def _same_kind(parts: list[_Part]) -> list[list[_Part]]:
    """Return parts of one shape and type together; colours are left out if there is grey."""
    groups: dict[tuple[Any, ...], list[_Part]] = {}
    for part in parts:
        groups.setdefault(part.kind, []).append(part)
    grey = [group for group in groups.values() if not group[0].is_colour]
    # A page in colour beside a grey one is the picture of it, with its scale bar.
    return grey or list(groups.values())


def _joined(group: list[_Part]) -> Unread:
    n_frames = sum(part.shape[0] for part in group)
    first = group[0]

    def read() -> NDArray[Any]:
        return first.read() if len(group) == 1 else np.concatenate([part.read() for part in group])

    def lazy() -> Any:
        import dask.array

        return dask.array.concatenate([part.lazy() for part in group])

    shape = (n_frames, *first.shape[1:])
    return Unread(shape, first.dtype, read, None if first.is_colour else lazy)


def _page_name(group: list[_Part]) -> str:
    _, height, width = group[0].shape
    return f"pages of {height} x {width} px, {group[0].dtype}"


def write(path: Path, stack: FrameStack) -> None:
    """Write a stack, one page per frame, with the pixel size for ImageJ and DigitalMicrograph.

    Above 4 GB it becomes a BigTIFF, and types that ImageJ does not read are written without its
    header.
    """
    import tifffile

    frames = stack.frames
    n_frames, height, width = stack.shape
    is_big = stack.dtype.itemsize * frames.size > _CLASSIC_TIFF_BYTES
    is_ome = path.name.lower().endswith((".ome.tif", ".ome.tiff"))
    metadata: dict[str, Any] = {"axes": "TZCYXS"}
    layout: dict[str, Any] = {"bigtiff": is_big}
    if is_ome:
        layout["ome"] = True
        metadata = ome_metadata(stack)
    elif not is_big and stack.dtype in _IMAGEJ_TYPES:
        layout["imagej"] = True
        metadata["Info"] = json.dumps(to_plain(stack.metadata))
    if stack.pixel_size is not None:
        y, x = np.broadcast_to(stack.pixel_size, 2)
        layout["resolution"] = (float(1 / x), float(1 / y))
        layout["extratags"] = dm_tags(float(y), float(x))
        if "imagej" in layout:
            metadata["unit"] = "nm"
    layout["photometric"] = "minisblack"
    with whole_file(path) as temporary:
        if not is_ome and "imagej" not in layout:
            # Page by page, or tifffile takes a height or width of one for another axis.
            with tifffile.TiffWriter(temporary, bigtiff=layout.pop("bigtiff")) as file:
                for frame in frames:
                    page = np.ascontiguousarray(frame)
                    file.write(page, contiguous=False, metadata=None, **layout)
            return
        # All six axes, for the same reason.
        shape = (n_frames, height, width) if is_ome else (n_frames, 1, 1, height, width, 1)
        pages = (np.ascontiguousarray(frame) for frame in frames)
        tifffile.imwrite(
            temporary, pages, shape=shape, dtype=stack.dtype, metadata=metadata, **layout
        )


@contextmanager
def _log_errors_raised(logger: logging.Logger) -> Iterator[None]:
    """Raise the errors that tifffile only logs: otherwise a cut file would lack frames."""
    reader = threading.get_ident()

    class Raise(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == reader:
                raise ValueError(record.getMessage())

    handler = Raise(level=logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
