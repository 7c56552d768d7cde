"""Find the folder of a public set: given, unpacked from an archive, or downloaded by pooch."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from .._output import whole_folder
from ._archives import unpack

StrPath = str | os.PathLike[str]

# Downloads are tried again, from the start, so many times after a failure.
_N_RETRIES = 3
# Answers that stay the same: the address is wrong, gone or not for everybody.
_FINAL = frozenset({400, 401, 403, 404, 405, 410, 451})


class Cache(NamedTuple):
    """Where to download an archive from and keep it, as the loaders take these arguments."""

    url: str | None
    sha256: str | None
    data_home: StrPath | None
    download_if_missing: bool
    verbose: int


def find_folder(name: str, source: StrPath | None, cache: Cache, *, by_hand: str) -> Path:
    """Return the folder that holds a set.

    Archives are unpacked once, to ``data_home/name``, into a folder named by their checksum that
    appears there when it is complete.

    Parameters
    ----------
    name : str
        Name of the set, and of its folder in the cache.
    source : path or None
        A folder, which is used as it is, or an archive.
    cache : Cache
        Where to download it from and keep it.
    by_hand : str
        Where the set can be downloaded by hand, for the errors.
    """
    url, sha256, data_home, download_if_missing, verbose = cache
    if source is not None and url is not None:
        raise ValueError("source and url exclude each other; give one of them.")
    if sha256 is not None:
        sha256 = sha256.lower()
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise ValueError(f"sha256 must be 64 hexadecimal digits; got {sha256!r}.")
    if source is not None:
        return _of_source(name, Path(source).expanduser(), sha256, data_home)
    if url is None or sha256 is None:
        missing = "source" if url is None else "sha256"
        raise ValueError(
            f"{missing} is missing: no archive of {name} with a known checksum is published. "
            f"Get it from {by_hand}, and give the folder or the archive as source, or url and "
            "sha256 of your own copy."
        )
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"url must start with http:// or https://; got {url!r}.")
    with _locked_folder(name, sha256, data_home) as folder:
        if not folder.is_dir():
            if not download_if_missing:
                raise OSError(
                    f"{name} is not in {folder.parent}, and download_if_missing is False."
                )
            with tempfile.TemporaryDirectory(
                dir=folder.parent, prefix=f".{folder.name}-"
            ) as temporary:
                archive = _download(url, Path(temporary), sha256, verbose=verbose)
                _unpack_whole(archive, folder, origin=url)
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
    with _locked_folder(name, found, data_home) as folder:
        if not folder.is_dir():
            _unpack_whole(path, folder, origin=path.name)
    return folder


@contextmanager
def _locked_folder(name: str, sha256: str, data_home: StrPath | None) -> Iterator[Path]:
    """Give the folder of an archive in the cache, locked unless it is complete."""
    import pooch
    from filelock import FileLock

    home = Path(pooch.os_cache("stemkit") if data_home is None else data_home).expanduser() / name
    home.mkdir(parents=True, exist_ok=True)
    # 64 bits of the checksum keep paths short enough for Windows.
    folder = home.resolve() / sha256[:16]
    if folder.is_dir():
        yield folder
        return
    with FileLock(folder.with_suffix(".lock")):
        # What is there while the lock was free comes from a process that was killed.
        for leftover in home.glob(f".{folder.name}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield folder


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Drop the messages of this thread, without a change to the level, which others use."""
    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def _download(url: str, folder: Path, sha256: str, *, verbose: int) -> Path:
    """Download a file with a known checksum into a folder."""
    import pooch
    import requests

    downloads = pooch.create(
        folder,
        base_url="",
        registry={"archive": f"sha256:{sha256}"},
        urls={"archive": url},
        retry_if_failed=_N_RETRIES,
    )
    try:
        http = pooch.HTTPDownloader(progressbar=verbose > 0, chunk_size=2**20)

        def downloader(address: str, output: Any, pooch_: Any) -> None:
            try:
                http(address, output, pooch_)
            except requests.HTTPError as error:
                # pooch tries again after an error of requests, in vain if the server refuses.
                if error.response is not None and error.response.status_code in _FINAL:
                    raise OSError(str(error)) from error
                raise

        with nullcontext() if verbose > 0 else _silent(pooch.get_logger()):
            return Path(downloads.fetch("archive", downloader=downloader))
    except OSError as error:  # those of requests too
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                error.errno,
                f"{url} can't be saved, the disk with {folder.parent} is full; make room or "
                "choose another data_home.",
            ) from error
        raise OSError(f"{url} can't be fetched: {error}. Check url and the connection.") from error
    except ValueError as error:
        raise ValueError(
            f"{url} does not have the SHA-256 {sha256} and was not kept; check sha256, or fetch "
            "from another place."
        ) from error


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
