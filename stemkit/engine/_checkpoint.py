"""Checkpoints of a fit: written atomically, two kept, never one that belongs to another fit."""

from __future__ import annotations

import io
import math
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stemkit._output import write_whole

SLOTS = ("checkpoint_a.pt", "checkpoint_b.pt")


class CheckpointFolder:
    """The last two checkpoints of one fit, in two files that are written in turn.

    Parameters
    ----------
    folder : str or Path
        Made if it isn't there.
    configuration : mapping of str to int, float, str, None or lists of these
        What must be the same for a fit to be continued.
    """

    def __init__(self, folder: str | os.PathLike[str], configuration: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.configuration = dict(configuration)
        self._next_slot = 0
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, content: Mapping[str, Any]) -> None:
        """Write a checkpoint over the older one of the two; the newer one stays as it is."""
        file = io.BytesIO()
        torch.save({"configuration": self.configuration, "step": step, **content}, file)
        write_whole(self.folder / SLOTS[self._next_slot], file.getbuffer())
        self._next_slot = 1 - self._next_slot

    def load(self) -> dict[str, Any] | None:
        """Read the newest whole checkpoint, or give None if there is none.

        Raises
        ------
        ValueError
            If the checkpoints are damaged, or of a fit with another configuration.
        """
        newest: dict[str, Any] | None = None
        damaged = []
        for slot, name in enumerate(SLOTS):
            path = self.folder / name
            if not path.exists():
                continue
            found = _read_whole(path)
            if found is None:
                damaged.append(path)
                continue
            self._refuse_other_fit(path, found["configuration"])
            if newest is None or found["step"] > newest["step"]:
                newest = found
                self._next_slot = 1 - slot
        if damaged and newest is None:
            raise ValueError(
                f"No checkpoint in {self.folder} can be read: they are damaged. "
                "Remove the folder to fit from the start."
            )
        for path in damaged:
            warnings.warn(f"{path} is damaged; the fit goes on from the other one.", stacklevel=3)
        return newest

    def _refuse_other_fit(self, path: Path, found: Mapping[str, Any]) -> None:
        for key, ours in self.configuration.items():
            # What an earlier version didn't keep can't be compared.
            if key in found and not _same(found[key], ours):
                raise ValueError(
                    f"{path} is of another fit: its {key} is {found[key]}, here it is {ours}. "
                    "Use another checkpoint_dir, or remove this one."
                )


def _read_whole(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint without executing any pickle, or give None if a byte of it is wrong."""
    file = io.BytesIO(path.read_bytes())
    try:
        with zipfile.ZipFile(file) as archive:  # torch itself doesn't compare the checksums
            if archive.testzip() is not None:
                return None
        file.seek(0)
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # the decoders raise whatever they like for a wrong byte
        return None
    is_ours = isinstance(found, dict) and {"configuration", "step"} <= found.keys()
    return found if is_ours else None


def _same(found: object, ours: object) -> bool:
    if isinstance(found, float) and isinstance(ours, float):
        # sums over data may differ in their last digits between machines
        return math.isclose(found, ours, rel_tol=1e-5)
    if isinstance(found, list) and isinstance(ours, list):
        return len(found) == len(ours) and all(map(_same, found, ours))
    return found == ours
