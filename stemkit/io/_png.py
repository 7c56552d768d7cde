"""Images in png files."""

from __future__ import annotations

from pathlib import Path

from ._frame_stack import FrameStack
from ._grey import to_grey


def read(path: Path) -> list[FrameStack]:
    """Read one frame; the resolution of a png is for printing, so there is no pixel size."""
    import imageio.v3 as iio

    with path.open("rb") as file:
        header = file.read(26)
    # Pillow would silently reduce 16-bit colours to 8 bits.
    if header[24:25] == b"\x10" and header[25:26] not in (b"\x00", b""):
        raise ValueError("it has 16 bits and colours or transparency, save it as grey")
    return [FrameStack(to_grey(iio.imread(path, plugin="pillow", index=0), n_dims=2)[None])]
