"""Folders of results that are either wholly there or not at all."""

from __future__ import annotations

import glob
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows has no locks on folders
    fcntl = None  # type: ignore[assignment]  # a module elsewhere

RECORD = "stemkit.json"
_PARTIAL = ".partial"


@contextmanager
def whole_folder(out: str | os.PathLike[str], **record: Any) -> Iterator[Path]:
    """Give an empty folder to write results to, and turn it into ``out`` if nothing went wrong.

    The results are collected in a hidden folder beside ``out``, which one rename puts into place
    at the end; whatever ends the block early, an exception or Ctrl-C, removes it. Where a process
    was killed outright and could not, the next run with this ``out`` does. ``out`` may exist
    if it is empty or holds nothing but what an earlier run wrote, and then is replaced as a whole.

    Parameters
    ----------
    out : path
        Folder for the results. Missing folders above it are made at the end.
    **record
        What to put down in ``stemkit.json`` beside the results: how they came about. With the
        names of the files, it is also how a later run knows that it may replace them.

    Yields
    ------
    Path
        Folder to write to.

    Raises
    ------
    FileExistsError
        If ``out`` is a file, or holds something that no earlier run wrote.
    OSError
        If the folder can't be made, before the block is entered.
    """
    target = Path(out).resolve()
    _check_replaceable(target, Path(out))
    # The nearest folder that exists: on the same disk as the target, or the rename would copy.
    home = next(parent for parent in target.parents if parent.exists())
    _remove_orphans(home, target.name)
    collected = home / f".{target.name}-{secrets.token_hex(4)}{_PARTIAL}"
    try:
        collected.mkdir()
    except OSError as error:  # the user knows nothing of the hidden folder
        raise OSError(error.errno, f"{out} can't be written: {error.strerror}") from error
    lock = _lock(collected)
    try:
        yield collected
        files = sorted(path.name for path in collected.iterdir())
        (collected / RECORD).write_text(json.dumps({**record, "files": files}, indent=2) + "\n")
        target.parent.mkdir(parents=True, exist_ok=True)
        _swap(collected, target)
    finally:
        shutil.rmtree(collected, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_orphans(home: Path, name: str) -> None:
    """Remove what processes that were killed had collected; those that live hold a lock."""
    for orphan in home.glob(f".{glob.escape(name)}-{'[0-9a-f]' * 8}{_PARTIAL}"):
        if (lock := _lock(orphan)) is not None:
            shutil.rmtree(orphan, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder for as long as this process lives; None if another has it or none can.

    A lock on the folder itself goes with it when it is renamed, and there is no file to remove
    while others wait for it, as `filelock` would need.
    """
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # gone in between, or another person's
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another has it, or it is on a disk that knows no locks
        os.close(descriptor)
        return None
    return descriptor


def _check_replaceable(target: Path, shown: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise FileExistsError(f"{shown} is a file, give the name of a folder for the results")
    if target.is_mount() or target in (Path.cwd(), *Path.cwd().parents):
        raise FileExistsError(
            f"{shown} is in use and can't be replaced as a whole, give a folder inside it"
        )
    present = {path.name for path in target.iterdir()}
    written: set[str] = set()
    with suppress(OSError, ValueError, TypeError, KeyError):  # no record, or not one of ours
        written = {RECORD, *json.loads((target / RECORD).read_text())["files"]}
    if foreign := sorted(present - written):
        raise FileExistsError(
            f"{shown} holds {foreign[0]!r}, which no earlier run of stemkit wrote there: "
            "give another folder or remove it"
        )


def _swap(collected: Path, target: Path) -> None:
    """Put a folder in another's place; if that fails, the other stays."""
    if not target.exists():
        collected.rename(target)
        return
    earlier = collected.with_suffix(".earlier")
    target.rename(earlier)
    try:
        collected.rename(target)
    except BaseException:
        earlier.rename(target)
        raise
    shutil.rmtree(earlier, ignore_errors=True)
