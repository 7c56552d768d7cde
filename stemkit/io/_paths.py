"""The files that a path, a folder or a pattern names, and their order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._constraints import check_value
from .._warnings import warn_caller
from ._coverage import without_coverages
from ._formats import FORMATS


def find_files(paths: object) -> list[Path]:
    """Return the files that a user names; a folder or a pattern is one series in natural order.

    A list of files is kept in its order, with a warning if that is not the order of the numbers
    in their names.

    Raises
    ------
    FileNotFoundError
        If a file does not exist, or a folder or pattern has no file that can be read.
    """
    is_one = isinstance(paths, str | os.PathLike | Mapping) or not np.iterable(paths)
    named: list[Any] = [paths] if is_one else list(paths)  # type: ignore[call-overload]
    if not named:
        raise ValueError("paths is empty: give at least one file")
    for path in named:
        check_value(path, "paths", ["path"])
    files = [file for path in named for file in _expanded(Path(path))]
    _warn_of_order(files)
    return files


def is_folder_of_files(path: Path) -> bool:
    """Return whether a path is a folder and not a zspy file, which is one on the disk."""
    return path.is_dir() and path.suffix.lower() != ".zspy"


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Return a key for sorting by which 2 comes before 10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]


def _expanded(path: Path) -> list[Path]:
    if is_folder_of_files(path):
        readable = [file for file in path.iterdir() if file.suffix.lower() in FORMATS]
        found = without_coverages(f for f in readable if not f.name.startswith("."))
        if not found:
            raise FileNotFoundError(
                f"{path} is a folder without any file that can be read: files ending in "
                f"{', '.join(FORMATS)}"
            )
        endings = sorted({file.suffix.lower() for file in found})
        if len(endings) > 1 and {".tif", ".tiff"} != set(endings):
            raise ValueError(
                f"paths names {path}, which has files of several formats, {', '.join(endings)}: "
                f"give one of them, as "
                f"{path / ('*' + endings[0])}"
            )
        return sorted(found, key=natural_key)
    if not path.exists() and glob.has_magic(str(path)):
        matches = [Path(match) for match in glob.glob(str(path))]
        if not matches:
            raise FileNotFoundError(f"no file matches {path}")
        return sorted(without_coverages(matches), key=natural_key)
    return [path]


def _warn_of_order(files: list[Path]) -> None:
    ordered = sorted(files, key=natural_key)
    if ordered == files or sorted(files) != files:
        return
    where = next(i for i, (a, b) in enumerate(zip(files, ordered, strict=True)) if a != b)
    warn_caller(
        f"The files are in alphabetical order, in which {files[where].name} comes before "
        f"{ordered[where].name}. For the order of their numbers pass the folder or a pattern such "
        f"as {files[0].parent / ('*' + files[0].suffix)!s}."
    )
