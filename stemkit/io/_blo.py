"""Check the header of blo files, of which RosettaSciIO takes any size for granted."""

from __future__ import annotations

import os
import struct
from pathlib import Path

# ID, magic number, offsets of the navigation image and of the patterns, flags, side of a pattern,
# its rotation, and the two sizes of the scan.
_HEADER = struct.Struct("<6sHIIIHHHH")
_SIGNATURE = b"IMGBLO"
# Bytes in front of each pattern.
_BEFORE = 6


def check_blo(path: Path) -> None:
    """Check that a file holds as many patterns as its header says.

    RosettaSciIO allocates what a header asks for, which takes minutes or all of the memory if the
    header is wrong.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    ValueError
        If the file is none, or cut.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        size = os.fstat(file.fileno()).st_size
    if len(header) < _HEADER.size or not header.startswith(_SIGNATURE):
        raise ValueError("it does not begin as a blo file does")
    _, _, navigation, patterns, _, side, _, nx, ny = _HEADER.unpack(header)
    if 0 in (side, nx, ny) or not _HEADER.size <= navigation <= patterns:
        raise ValueError("its header has sizes or offsets that no blo file has")
    needed = patterns + nx * ny * (_BEFORE + side**2)
    if size < needed:
        raise ValueError(f"its header needs {needed} bytes, and it has {size}")
