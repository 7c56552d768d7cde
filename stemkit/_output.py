"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import glob
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

RECORD = "stemkit.json"
_PARTIAL = ".partial"


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to ``path`` if the block succeeds.

    At any moment, and after a power cut, ``path`` holds either the old content or the new.

    Parameters
    ----------
    path : path
        File to write. An earlier one is replaced. It may be a folder that is one file to its
        users, as a zarr store.

    Yields
    ------
    Path
        Where to write the content, in the folder of ``path``.

    Raises
    ------
    OSError
        If the content can't be written, as on a full disk. An earlier file is left as it was.
    """
    path = Path(path)
    try:
        with _temporary(path.parent, path.name) as temporary:
            yield temporary
            _sync(temporary)
            if temporary.is_dir():
                _swap(temporary, path)
            else:
                os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        # NumPy reports a write that was cut short without the system's reason for it.
        reason = error.strerror or "only a part could be written, the disk may be full"
        # The user never sees the temporary folder of `whole_folder`.
        shown = path.name if path.parent.suffix == _PARTIAL else path
        kept = "; the earlier file is left as it was" if path.exists() else ""
        raise OSError(
            error.errno or errno.ENOSPC, f"{shown} can't be written: {reason}{kept}"
        ) from error


def write_whole(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write a file as :func:`whole_file` does.

    Parameters
    ----------
    path : path
        File to write. An earlier one is replaced.
    content : bytes-like
        Its new content.

    Raises
    ------
    OSError
        If the content can't be written. An earlier file is left as it was.
    """
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        file.write(content)


@contextmanager
def whole_folder(out: str | os.PathLike[str], **record: Any) -> Iterator[Path]:
    """Yield an empty folder to write to, and rename it to ``out`` if the block succeeds.

    The folder is hidden and lies next to ``out``. An exception or Ctrl-C in the block removes it.
    If a process is killed, the next run with the same ``out`` removes what it left. ``out`` may
    exist if it is empty or contains only files of an earlier run, and is then replaced as a whole.

    Parameters
    ----------
    out : path
        Folder for the results. Missing parents are created at the end.
    **record
        How the results were made. It is written to ``stemkit.json`` together with the names of
        the files, by which a later run recognizes results that it may replace.

    Yields
    ------
    Path
        Folder to write to.

    Raises
    ------
    FileExistsError
        If ``out`` is a file, or contains something that no earlier run wrote.
    OSError
        If the folder can't be created; raised before the block runs.
    """
    target = Path(out).resolve()
    _check_replaceable(target, Path(out))
    # The nearest folder that exists is on the same disk, so that the rename copies nothing.
    home = next(parent for parent in target.parents if parent.exists())
    with _temporary(home, target.name) as collected:
        try:
            collected.mkdir()
        except OSError as error:  # the user never sees the temporary folder
            raise OSError(error.errno, f"{out} can't be written: {error.strerror}") from error
        yield collected
        files = sorted(path.name for path in collected.iterdir())
        (collected / RECORD).write_text(json.dumps({**record, "files": files}, indent=2) + "\n")
        target.parent.mkdir(parents=True, exist_ok=True)
        _swap(collected, target)


@contextmanager
def _temporary(home: Path, name: str) -> Iterator[Path]:
    """Yield an unused hidden path in `home`, and remove what is there at the end.

    A lock next to the path shows other processes that its owner is alive. A process that was
    killed leaves its files but no lock, and these are removed first.
    """
    for orphan in home.glob(f".{glob.escape(name)}-{'[0-9a-f]' * 8}{_PARTIAL}"):
        with _locked(orphan) as locked:
            if locked and not orphan.is_symlink():
                _remove(orphan)
    temporary = home / f".{name}-{secrets.token_hex(4)}{_PARTIAL}"
    with _locked(temporary):
        try:
            yield temporary
        finally:
            _remove(temporary)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Lock a path without waiting; yield False if it is in use or the disk has no locks."""
    from filelock import FileLock, Timeout

    if not path.parent.is_dir():  # or filelock would create it
        yield False
        return
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):
        yield False
        return
    try:
        yield True
    finally:
        # Nobody waits for this lock and no path is used twice, so its file can go while it is held.
        with suppress(OSError):  # Windows removes it only after the release
            os.unlink(lock.lock_file)
        lock.release()
        with suppress(OSError):
            os.unlink(lock.lock_file)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _sync(path: Path) -> None:
    """Flush a file or folder to the disk, so that it survives a power cut."""
    if path.is_dir() and os.name != "posix":  # Windows can't open a folder, and needn't
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
            f"{shown} contains {foreign[0]!r}, which no earlier run of stemkit wrote: "
            "give another folder or remove it"
        )


def _swap(collected: Path, target: Path) -> None:
    """Rename a folder to `target`; if that fails, an earlier `target` stays."""
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
