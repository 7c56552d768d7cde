"""Downloads that go on where they were cut, and whose content is known beforehand."""

from __future__ import annotations

import errno
import os
import time
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

# Tries in a row that bring nothing new before the download is given up.
_TRIES = 4
_PAUSE = 1.0  # seconds before the second try; doubled before each further one
_TIMEOUT = 30.0  # seconds of silence
_BLOCK = 2**14  # of a connection that is cut, what came since the last whole block is lost


def download(url: str, target: Path, sha256: str, *, verbose: int = 0) -> None:
    """Download a file of known content, so that it stands under its name whole or not at all.

    What an earlier call had fetched before it was cut lies beside ``target``, and is gone on with
    if the server can; whether the same server gave both parts is of no matter, since the
    checksum is that of the whole.

    Parameters
    ----------
    url : str
        Address, "http://" or "https://".
    target : Path
        File to write. Only one process may do so at a time.
    sha256 : str
        SHA-256 of the content, in hexadecimal digits.
    verbose : int, default=0
        1 shows a progress bar.

    Raises
    ------
    ValueError
        If what came has another checksum; it is not kept.
    OSError
        If the server has no such file, the connection fails again and again, or the disk is full.
    """
    import pooch

    if not url.startswith(("http://", "https://")):
        raise ValueError(f"url must start with http:// or https://; got {url!r}.")
    part = target.with_name(target.name + ".part")
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}",
            fname=target.name,
            path=target.parent,
            downloader=partial(_download_on, part=part, silent=verbose < 1),
        )
    except ValueError as error:
        raise ValueError(
            f"{url} gave something else than the file with the SHA-256 {sha256}, and it was not "
            "kept; check sha256, or fetch from another place."
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            part.unlink(missing_ok=True)  # the room is needed for something else
            raise OSError(
                error.errno,
                f"{url} can't be saved, the disk with {target.parent} is full and nothing is "
                "left there; make room or choose another data_home.",
            ) from error
        raise


def _download_on(url: str, output_file: str, _: Any, *, part: Path, silent: bool) -> None:
    """Download what is missing in ``part``, as often as it brings something, as pooch asks."""
    import requests
    from tqdm.auto import tqdm

    furthest, failures = _size(part), 0
    with tqdm(desc=part.stem, unit="B", unit_scale=True, disable=silent) as bar:
        while True:
            try:
                _request_rest(url, part, bar)
                break
            except requests.RequestException as error:
                answer = error.response
                if answer is not None and answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise OSError(
                        f"{url} can't be fetched: {answer.status_code} {answer.reason}. Check url."
                    ) from error
                # A server that always starts anew and is always cut brings nothing.
                failures = 0 if _size(part) > furthest else failures + 1
                furthest = max(furthest, _size(part))
                if failures == _TRIES:
                    raise OSError(
                        f"{url} can't be fetched, the connection failed {_TRIES} times in a row "
                        f"({type(error).__name__}). Call again to go on from {_size(part)} bytes."
                    ) from error
                time.sleep(_PAUSE * 2**failures / 2)
    os.replace(part, output_file)


def _request_rest(url: str, part: Path, bar: Any) -> None:
    """Ask for what follows the part, and add it; start anew where the server can't."""
    import requests

    done = _size(part)
    # Packed on the way, a file would have other bytes than the range counts.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if done and response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing follows: the part is whole or of another file, as its checksum tells
        response.raise_for_status()
        span = response.headers.get("Content-Range", "")
        goes_on = response.status_code == HTTPStatus.PARTIAL_CONTENT
        if goes_on and not span.startswith(f"bytes {done}-"):
            part.unlink(missing_ok=True)
            raise requests.ConnectionError(f"asked to go on from {done}, got {span!r}")
        done = done if goes_on else 0
        length = response.headers.get("Content-Length")
        bar.total = None if length is None else done + int(length)
        bar.n = done
        with part.open("ab" if goes_on else "wb") as file:
            for block in response.iter_content(_BLOCK):
                file.write(block)
                bar.update(len(block))
    if bar.total is not None and _size(part) < bar.total:
        raise requests.ConnectionError(f"cut after {_size(part)} of {bar.total} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
