"""The file formats that can be read, and the module that reads each."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    # Returns frames of shape (n_frames, H, W), and the pixel size in nm or None.
    Reader = Callable[[Path], tuple[NDArray[Any], float | None]]

# Ending of the file, in lower case -> module in this package that has the function `read`.
FORMATS = {
    ".png": "_png",
    ".tif": "_tif",
    ".tiff": "_tif",
    ".npy": "_npy",
}


def find_reader(path: Path) -> Reader:
    """Return the function that reads a file, by the ending of its name.

    Raises
    ------
    ValueError
        If the ending is unknown.
    """
    module = FORMATS.get(path.suffix.lower())
    if module is None:
        raise ValueError(f"{path} has an unknown ending: give files ending in {', '.join(FORMATS)}")
    reader: Reader = import_module(f".{module}", __package__).read
    return reader
