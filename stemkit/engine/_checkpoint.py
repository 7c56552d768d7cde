"""The checkpoint of a fit: written atomically, locked, and used for the same fit only."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from filelock import FileLock, Timeout

import stemkit
from stemkit._output import write_whole
from stemkit._warnings import warn_caller
from stemkit.engine._fingerprint import Fingerprint
from stemkit.engine._torch_file import load_torch_file

FILE = "checkpoint.pt"
LOCK = "checkpoint.lock"
_HOLDER = "checkpoint.holder"
_EARLIER_FILES = ("checkpoint_a.pt", "checkpoint_b.pt")
# Differences that an error names.
_NAMED = 2


class CheckpointFolder:
    """The checkpoint of one fit, in a folder that no other fit uses meanwhile.

    Parameters
    ----------
    folder : str or Path
        Made if it isn't there.
    fingerprint : mapping of str to str
        Everything that decides the result of the fit, as `describe` returns it.

    Raises
    ------
    ValueError
        On entry, if another fit uses the folder.
    """

    def __init__(self, folder: str | os.PathLike[str], fingerprint: Fingerprint) -> None:
        self.folder = Path(folder)
        self.path = self.folder / FILE
        self.fingerprint = fingerprint
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(
                f"checkpoint_dir {self.folder} is a file or lies below one: give a folder."
            ) from error
        # The system releases the lock of a process that was killed.
        self._lock = FileLock(self.folder / LOCK)

    def __enter__(self) -> Self:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"checkpoint_dir {self.folder} is in use by another fit{self._read_holder()}: "
                "wait until that fit has ended, or use another checkpoint_dir."
            ) from None
        self._holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._holder.unlink(missing_ok=True)
        self._lock.release()

    def save(self, step: int, content: Mapping[str, Any]) -> None:
        """Replace the checkpoint; the one before stays until the new one is complete."""
        file = io.BytesIO()
        about = {"version": stemkit.__version__, "fingerprint": self.fingerprint, "step": step}
        torch.save({**about, **content}, file)
        write_whole(self.path, file.getbuffer())

    def load(self) -> dict[str, Any] | None:
        """Read the checkpoint, or return None if there is none.

        Raises
        ------
        ValueError
            If the checkpoint is damaged or of another fit.
        """
        if not self.path.exists():
            for name in _EARLIER_FILES:
                if (self.folder / name).exists():
                    raise ValueError(
                        f"The checkpoint {self.folder / name} is of an earlier version of stemkit "
                        "and cannot be continued. Use another checkpoint_dir, or remove this one "
                        "to fit from the start."
                    )
            return None
        found = _read_whole(self.path)
        if found is None:
            raise self.damaged()
        self._check_same_fit(found["fingerprint"], found["version"])
        return found

    def damaged(self) -> ValueError:
        """Return the error for a checkpoint that can't be used."""
        return ValueError(
            f"The checkpoint {self.path} is damaged. Remove it to fit from the start."
        )

    def _check_same_fit(self, found: Mapping[str, str], version: str) -> None:
        ours = self.fingerprint
        names = list({**ours, **found})
        if version != stemkit.__version__:
            warn_caller(
                f"The checkpoint {self.path} was written by stemkit {version}, this is "
                f"{stemkit.__version__}: the result may differ from that of either version."
            )
            # A version may have added or removed parameters.
            names = [name for name in names if name in ours and name in found]
        differences = [
            f"its {name} is {_show(found.get(name))}, here it is {_show(ours.get(name))}"
            for name in names
            if found.get(name) != ours.get(name)
        ]
        if differences:
            text = "; ".join(differences[:_NAMED])
            if len(differences) > _NAMED:
                text += f"; and {len(differences) - _NAMED} more differ"
            raise ValueError(
                f"The checkpoint {self.path} is of another fit: {text}. "
                "Use another checkpoint_dir, or remove this one."
            )

    @property
    def _holder(self) -> Path:
        return self.folder / _HOLDER

    def _read_holder(self) -> str:
        try:
            return f" ({self._holder.read_text()})"
        except OSError:  # not written yet, or just removed
            return ""


def _show(value: str | None) -> str:
    return "absent" if value is None else value if len(value) <= 80 else value[:77] + "..."


def _read_whole(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint without executing any pickle, or return None if it is damaged."""
    try:
        found = load_torch_file(path.read_bytes())
    except Exception:  # a wrong byte can raise any error in the decoders
        return None
    is_ours = isinstance(found, dict) and {"version", "fingerprint", "step"} <= found.keys()
    if not is_ours or not isinstance(found["version"], str):
        return None
    return found if isinstance(found["fingerprint"], dict) else None
