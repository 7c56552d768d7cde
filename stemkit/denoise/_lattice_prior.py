"""The warning that a network restores a periodic lattice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .._warnings import warn_caller
from ..exceptions import LatticePriorWarning
from ..networks import PINNED

# The classes that have warned, inside `warn_once`.
_warned: ContextVar[set[type] | None] = ContextVar("_warned", default=None)


@contextmanager
def warn_once() -> Iterator[None]:
    """Let a denoiser that is called for each frame warn only once."""
    token = _warned.set(set())
    try:
        yield
    finally:
        _warned.reset(token)


def warn_of_lattice_prior(denoiser: Any) -> None:
    """Warn if the network of a denoiser is given the periodic part of each frame."""
    warned = _warned.get()
    if warned is not None and type(denoiser) in warned:
        return
    parts = denoiser.module_.modules()
    if any(isinstance(part, PINNED) and part.evidence is not None for part in parts):
        if warned is not None:
            warned.add(type(denoiser))
        warn_caller(
            f"{type(denoiser).__name__} restores the lattice that it finds in each frame, so holes,"
            " dopants and other defects may be missing from the result: compare it with the noisy "
            "frames, or train a network without lattice prior (n_evidence=0).",
            LatticePriorWarning,
        )
