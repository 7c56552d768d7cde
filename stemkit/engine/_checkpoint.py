"""Checkpoints of a fit: written atomically, two kept, and never one that belongs to another fit."""

from __future__ import annotations

import math
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

LAST, PREVIOUS = "checkpoint.pt", "checkpoint_previous.pt"


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that at any moment its old or its new content stands under its name, never a
    part of it.

    Parameters
    ----------
    path : Path
        The file; its folder must exist.
    write : callable
        Gets the open binary file.

    Raises
    ------
    OSError
        If the disk is full or not writable; what was there before is untouched.
    """
    unfinished = path.with_name(path.name + ".tmp")
    try:
        with open(unfinished, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        # torch reports a failed write as a RuntimeError, whose message says nothing of the disk
        if isinstance(error, (OSError, RuntimeError)):
            raise OSError(
                f"{path} could not be written, its earlier content is kept: {error}"
            ) from error
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut; not every system lets a folder be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class CheckpointFolder:
    """The last two checkpoints of one fit.

    Parameters
    ----------
    folder : str or Path
        Made if it isn't there.
    configuration : mapping of str to int, float, str or None
        What must be the same for a fit to be continued.
    """

    def __init__(self, folder: str | os.PathLike[str], configuration: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.configuration = dict(configuration)
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint; the one before it stays beside it."""
        last = self.folder / LAST
        content = {"configuration": self.configuration, **state}
        fresh = self.folder / "checkpoint_fresh.pt"
        write_atomically(fresh, lambda file: torch.save(content, file))
        # killed between the two renames, the folder holds the previous checkpoint and the fresh one
        # is written again
        if last.exists():
            os.replace(last, self.folder / PREVIOUS)
        os.replace(fresh, last)
        _sync_folder(self.folder)

    def load(self) -> dict[str, Any] | None:
        """Read the newest whole checkpoint, or None if there is none.

        Raises
        ------
        ValueError
            If the checkpoints are damaged, or of a fit with another configuration.
        """
        present = [path for name in (LAST, PREVIOUS) if (path := self.folder / name).exists()]
        for path in present:
            state = _read_whole(path)
            if state is not None:
                self._refuse_other_fit(path, state["configuration"])
                return state
            warnings.warn(f"{path} is damaged; trying the checkpoint before it.", stacklevel=3)
        if present:
            raise ValueError(
                f"No checkpoint in {self.folder} can be read. Remove the folder to fit from the start."
            )
        return None

    def _refuse_other_fit(self, path: Path, found: Mapping[str, Any]) -> None:
        for key, ours in self.configuration.items():
            if not _same(found.get(key), ours):
                raise ValueError(
                    f"{path} is of another fit: its {key} is {found.get(key)}, here it is {ours}. "
                    "Use another checkpoint_dir, or remove this one."
                )


def _read_whole(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint without executing any pickle, or give None if a byte of it is wrong."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself doesn't compare the checksums
            if archive.testzip() is not None:
                return None
        return torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, RuntimeError, EOFError, NotImplementedError):
        return None


def _same(found: object, ours: object) -> bool:
    if isinstance(found, float) and isinstance(ours, float):
        # sums over data may differ in the last digits between machines
        return math.isclose(found, ours, rel_tol=1e-5)
    if isinstance(found, list) and isinstance(ours, list):
        return len(found) == len(ours) and all(map(_same, found, ours))
    return found == ours
