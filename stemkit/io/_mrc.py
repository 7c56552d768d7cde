"""Frames and volumes in mrc files, through mrcfile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._output import whole_file
from .._units import pixel_size_in_nm
from ._frame_stack import FrameStack


def read(path: Path) -> list[FrameStack]:
    """Map a file into memory; a voxel size of zero is unknown."""
    import mrcfile

    # A compressed file can't be mapped.
    with path.open("rb") as file:
        is_compressed = file.read(2) in (b"\x1f\x8b", b"BZ")
    opener = mrcfile.open if is_compressed else mrcfile.mmap
    with opener(path, mode="r", permissive=False) as mrc:
        frames: Any = mrc.data
        angstrom = mrc.voxel_size
        header = {
            name: mrc.header[name].item() for name in ("nx", "ny", "nz", "mode", "dmin", "dmax")
        }
        labels = [label.decode("ascii", "replace").strip() for label in mrc.header.label]
    frames = frames[np.newaxis] if frames.ndim == 2 else frames
    return [
        FrameStack(
            frames,
            pixel_size_in_nm(float(angstrom.y) / 10, float(angstrom.x) / 10),
            metadata={"header": header, "labels": [label for label in labels if label]},
        )
    ]


def write(path: Path, stack: FrameStack) -> None:
    """Write a stack; types that mrc does not have are converted if no value changes."""
    import mrcfile

    frames = _storable(np.asarray(stack.frames))
    with whole_file(path) as temporary, mrcfile.new(temporary, overwrite=True) as file:
        file.set_data(frames)
        file.set_image_stack()
        if stack.pixel_size is not None:
            y, x = np.broadcast_to(stack.pixel_size, 2) * 10.0
            file.voxel_size = (float(x), float(y), 1.0)


def _storable(frames: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return frames in the smallest type of mrc that holds all their values."""
    for kind in ("int8", "int16", "uint16", "float16", "float32"):
        if frames.dtype == kind:
            return frames
    candidates = ("int16", "uint16", "float32") if frames.dtype.kind in "bui" else ("float32",)
    for kind in candidates:
        with np.errstate(over="ignore", invalid="ignore"):
            converted = frames.astype(kind)
        if frames.dtype.kind == "f" or (converted == frames).all():
            return converted
    raise ValueError(f"mrc has no type that holds all values of {frames.dtype} frames")
