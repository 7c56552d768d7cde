"""What the headers of tif files record: pixel sizes, channels and the rest."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from .._units import nm_per_unit, pixel_size_in_nm
from ._frame_stack import FrameStack, PixelSize

# DigitalMicrograph's tags: units of x and y, origins, and sizes of a pixel.
_DM_UNITS, _DM_ORIGINS, _DM_SIZES = (65003, 65004), (65006, 65007), (65009, 65010)


def dm_tags(y: float, x: float) -> list[tuple[int, str, int, Any, bool]]:
    """Return the tags in which DigitalMicrograph and HyperSpy look for a pixel size in nm."""
    return [
        *((tag, "s", 0, "nm", False) for tag in _DM_UNITS),
        *((tag, "d", 1, 0.0, False) for tag in _DM_ORIGINS),
        *((tag, "d", 1, size, False) for tag, size in zip(_DM_SIZES, (x, y), strict=True)),
    ]


def ome_metadata(stack: FrameStack) -> dict[str, Any]:
    """Return what tifffile writes into the OME header of a stack."""
    header: dict[str, Any] = {"axes": "TYX"}
    if stack.pixel_size is not None:
        y, x = np.broadcast_to(stack.pixel_size, 2)
        header |= {"PhysicalSizeY": float(y), "PhysicalSizeX": float(x)}
        header |= {"PhysicalSizeYUnit": "nm", "PhysicalSizeXUnit": "nm"}
    if stack.times is not None and len(stack) > 1:
        header |= {"TimeIncrement": float(np.diff(stack.times).mean()), "TimeIncrementUnit": "s"}
    return header


def find_pixel_size(tiff: Any) -> PixelSize | None:
    """Return the pixel size in nm from the first header that has one.

    The resolution of a plain tif is for printing and is not used.
    """
    finders: tuple[Callable[[Any], PixelSize | None], ...] = (
        _from_dm,
        _from_fei,
        _from_ome,
        _from_tvips,
        _from_imagej,
    )
    for find in finders:
        with suppress(KeyError, TypeError, ValueError, IndexError):  # a damaged header
            if (size := find(tiff)) is not None:
                return size
    return None


def _from_dm(tiff: Any) -> PixelSize | None:
    tags = tiff.pages[0].tags
    x, y = (
        float(tags.valueof(size)) * (nm_per_unit(tags.valueof(unit)) or 0)
        for unit, size in zip(_DM_UNITS, _DM_SIZES, strict=True)
    )
    return pixel_size_in_nm(y, x)


def _from_fei(tiff: Any) -> PixelSize | None:
    scan = (tiff.fei_metadata or {})["Scan"]
    return pixel_size_in_nm(1e9 * float(scan["PixelHeight"]), 1e9 * float(scan["PixelWidth"]))


def _from_ome(tiff: Any) -> PixelSize | None:
    if tiff.ome_metadata is None:
        return None
    pixels = _ome_pixels(tiff)
    y, x = (
        # The unit is um unless another is given.
        float(pixels[f"PhysicalSize{axis}"])
        * (nm_per_unit(pixels.get(f"PhysicalSize{axis}Unit", "um")) or 0)
        for axis in "YX"
    )
    return pixel_size_in_nm(y, x)


def _ome_pixels(tiff: Any) -> Mapping[str, str]:
    for element in ElementTree.fromstring(tiff.ome_metadata).iter():
        if element.tag.rpartition("}")[2] == "Pixels":
            return element.attrib
    raise KeyError("Pixels")


def _from_tvips(tiff: Any) -> PixelSize | None:
    header = tiff.tvips_metadata or {}
    return pixel_size_in_nm(float(header["PixelSizeY"]), float(header["PixelSizeX"]))


def _from_imagej(tiff: Any) -> PixelSize | None:
    header = tiff.imagej_metadata or {}
    unit = nm_per_unit(header.get("unit"))
    unit_y = nm_per_unit(header.get("yunit", header.get("unit")))
    tags = tiff.pages[0].tags
    x, y = (tags.valueof(name, default=(0, 1)) for name in ("XResolution", "YResolution"))
    if unit is None or unit_y is None or not (x[0] and y[0]):
        return None
    # The header holds a ratio of integers, good to about seven digits.
    height, width = (
        float(f"{ratio[1] / ratio[0] * nm:.6g}") for ratio, nm in ((y, unit_y), (x, unit))
    )
    return pixel_size_in_nm(height, width)


def find_channel_names(tiff: Any) -> list[str]:
    """Return the names of the channels that ImageJ or OME recorded, which may be none."""
    if tiff.ome_metadata is not None:
        with suppress(ElementTree.ParseError):
            elements = ElementTree.fromstring(tiff.ome_metadata).iter()
            channels = [e for e in elements if e.tag.rpartition("}")[2] == "Channel"]
            names = [channel.attrib.get("Name", "") for channel in channels]
            return names if all(names) else []
    labels = (tiff.imagej_metadata or {}).get("Labels") or []
    n_channels = int((tiff.imagej_metadata or {}).get("channels", 0))
    names = [str(label) for label in labels[:n_channels]]
    return names if len(set(names)) == n_channels else []


def find_metadata(tiff: Any) -> dict[str, Any]:
    """Return the headers that programs and microscopes add, by program."""
    found: dict[str, Any] = {}
    for name in ("imagej", "fei", "tvips", "sis", "sem"):
        header = getattr(tiff, f"{name}_metadata")
        if header:
            found[name] = dict(header)
    if tiff.ome_metadata is not None:
        found["ome"] = tiff.ome_metadata
    with suppress(KeyError, ValueError):  # what write_stack wrote
        return dict(json.loads(found["imagej"]["Info"]))
    return found
