"""The file formats that can be read and written, and the module of each."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._frame_stack import FrameStack

    # Returns the stacks of a file, one a detector; their values may still be in the file.
    Reader = Callable[[Path], list[FrameStack]]
    Writer = Callable[[Path, FrameStack], None]

# Ending of the file, in lower case -> module in this package that has the function `read`, and
# `write` if the format can be written.
FORMATS = {
    ".tif": "_tif",
    ".tiff": "_tif",
    ".png": "_png",
    ".npy": "_npy",
    ".dm3": "_rosettasciio",
    ".dm4": "_rosettasciio",
    ".emd": "_rosettasciio",
    ".de5": "_rosettasciio",
    ".ser": "_rosettasciio",
    ".emi": "_rosettasciio",
    ".mrc": "_mrc",
    ".mrcs": "_mrc",
    ".st": "_mrc",
    ".map": "_mrc",
    ".hspy": "_rosettasciio",
    ".zspy": "_zspy",
    ".nxs": "_rosettasciio",
    ".tvips": "_rosettasciio",
    ".rpl": "_rosettasciio",
    ".unf": "_rosettasciio",
    ".prz": "_rosettasciio",
}
# Endings with which stacks can be written.
WRITTEN = (".tif", ".tiff", ".npy", ".mrc", ".mrcs", ".hspy", ".zspy")


def find_reader(path: Path) -> Reader:
    """Return the function that reads a file, by the ending of its name.

    Raises
    ------
    ValueError
        If the ending is unknown.
    """
    name = FORMATS.get(path.suffix.lower())
    if name is None and not _is_known_to_rosettasciio(path):
        raise ValueError(f"{path} has an unknown ending: give files ending in {', '.join(FORMATS)}")
    reader: Reader = _module(name or "_rosettasciio").read
    return reader


def find_writer(path: Path) -> Writer:
    """Return the function that writes a file, by the ending of its name.

    Raises
    ------
    ValueError
        If stacks can't be written with this ending.
    """
    ending = path.suffix.lower()
    if ending not in WRITTEN:
        raise ValueError(f"path must end in {', '.join(WRITTEN)}, got {path.name!r}")
    writer: Writer = _module(FORMATS[ending]).write
    return writer


def _module(name: str) -> Any:
    return import_module(f".{name}", __package__)


def _is_known_to_rosettasciio(path: Path) -> bool:
    from ._rosettasciio import find_plugins

    try:
        return bool(find_plugins(path))
    except ModuleNotFoundError:
        return False
