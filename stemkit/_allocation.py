"""Memory that stays with the process between the operations of a network on the CPU."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Numbers of <malloc.h>.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
# No block of its own for any size: a threshold above 32 MiB is refused by older versions. What lies
# idle beyond 2 GiB still goes back, the most that `mallopt` takes.
_KEPT = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}
# What glibc itself comes to where large blocks are freed.
_USUAL = {_MMAP_MAX: 65_536, _MMAP_THRESHOLD: 2**25, _TRIM_THRESHOLD: 2**26}

_lock = threading.Lock()
_n_users = 0


@contextmanager
def keep_blocks() -> Iterator[None]:
    """Have glibc keep large blocks that are freed, for the operation that comes next.

    Blocks of more than 32 MiB come from the system anew each time, which clears each of their
    pages as it is touched: half the time of a training step, where batches are large, and a fifth
    of that of a large frame. At the end what is kept goes back to the system. Where there is
    another C library, or the environment says how memory is to be had, nothing is changed.
    """
    global _n_users
    libc = _find_glibc()
    if libc is None:
        yield
        return
    with _lock:
        _n_users += 1
        if _n_users == 1:
            _set(libc, _KEPT)
    try:
        yield
    finally:
        with _lock:
            _n_users -= 1
            if _n_users == 0:
                _set(libc, _USUAL)
                libc.malloc_trim(ctypes.c_size_t(0))


def _find_glibc() -> ctypes.CDLL | None:
    if "malloc" in os.environ.get("GLIBC_TUNABLES", "") or any(
        name.startswith(("MALLOC_MMAP_", "MALLOC_TOP_PAD_", "MALLOC_TRIM_")) for name in os.environ
    ):
        return None
    try:
        libc = ctypes.CDLL(None)
    except TypeError:  # where libraries have names only, as on Windows
        return None
    return libc if hasattr(libc, "gnu_get_libc_version") else None


def _set(libc: ctypes.CDLL, parameters: dict[int, int]) -> None:
    for parameter, value in parameters.items():
        libc.mallopt(parameter, value)
