"""Find the folder of a public set: given, unpacked from an archive, or downloaded."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._output import whole_folder
from ._archives import unpack
from ._fetch_download import download

StrPath = str | os.PathLike[str]


def find_folder(
    name: str,
    source: StrPath | None,
    *,
    by_hand: str,
    url: str | None,
    sha256: str | None,
    data_home: StrPath | None,
    download_if_missing: bool,
    verbose: int,
) -> Path:
    """Return the folder that holds a set.

    What was unpacked lies in ``data_home/name``, in a folder named by the checksum of its archive
    and moved there when it is whole: where it is there, nothing is read or downloaded again.

    Parameters
    ----------
    name : str
        Name of the set, and of its folder in the cache.
    source : path or None
        A folder, which is used where it lies, or an archive.
    by_hand : str
        Where a person finds the set, for the errors.
    url, sha256, data_home, download_if_missing, verbose
        As :func:`stemkit.datasets.fetch_temimagenet` takes them.
    """
    if source is not None and url is not None:
        raise ValueError("source and url both say where the set is; give one of them.")
    if sha256 is not None:
        sha256 = sha256.lower()
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise ValueError(f"sha256 must be 64 hexadecimal digits; got {sha256!r}.")
    if source is not None:
        return _of_source(name, Path(source).expanduser(), sha256, data_home)
    if url is None or sha256 is None:
        lacks = "source" if url is None else "sha256"
        raise ValueError(
            f"{lacks} is missing: no archive of {name} with a known checksum is published. "
            f"Get it from {by_hand}, and give the folder or the archive as source, or url and "
            "sha256 of a copy of your own."
        )
    with _cached(name, sha256, data_home) as (folder, is_there):
        if not is_there:
            if not download_if_missing:
                raise OSError(
                    f"{name} is not in {folder.parent}, and download_if_missing is False."
                )
            archive = folder.with_suffix(".archive")
            try:
                download(url, archive, sha256, verbose=verbose)
                _unpack_whole(archive, folder, origin=url)
            finally:
                archive.unlink(missing_ok=True)
    return folder


def _of_source(name: str, path: Path, sha256: str | None, data_home: StrPath | None) -> Path:
    import pooch

    if path.is_dir():
        return path
    if not path.is_file():
        raise FileNotFoundError(f"source does not exist: {path}. Give a folder or an archive.")
    found = pooch.file_hash(str(path), alg="sha256")
    if sha256 not in (None, found):
        raise ValueError(
            f"source {path} has the SHA-256 {found}, not {sha256}; fetch it again or check sha256."
        )
    with _cached(name, found, data_home) as (folder, is_there):
        if not is_there:
            _unpack_whole(path, folder, origin=path.name)
    return folder


@contextmanager
def _cached(name: str, sha256: str, data_home: StrPath | None) -> Iterator[tuple[Path, bool]]:
    """Keep other processes out while a folder of the cache is made; say if it is there."""
    import pooch
    from filelock import FileLock

    home = Path(pooch.os_cache("stemkit") if data_home is None else data_home).expanduser() / name
    home.mkdir(parents=True, exist_ok=True)
    # 64 bits of the checksum keep paths short enough for Windows.
    folder = home.resolve() / sha256[:16]
    if folder.is_dir():
        yield folder, True
        return
    with FileLock(folder.with_suffix(".lock")):
        # Under the lock, what is half unpacked is of a process that was killed.
        for leftover in home.glob(f".{folder.name}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield folder, folder.is_dir()


def _unpack_whole(archive: Path, folder: Path, *, origin: str) -> None:
    try:
        with whole_folder(folder, origin=origin) as unfinished:
            unpack(archive, unfinished)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{archive} can't be unpacked to {folder} and nothing is left there: "
            f"{error.strerror or error}. Make room or choose another data_home.",
        ) from error
