"""The warning that a network restores a periodic lattice."""

from __future__ import annotations

from typing import Any

from .._warnings import is_first, warn_caller
from ..exceptions import LatticePriorWarning
from ..networks import PINNED


def warn_of_lattice_prior(denoiser: Any) -> None:
    """Warn if the network of a denoiser is given the periodic part of each frame."""
    parts = denoiser.module_.modules()
    has_prior = any(isinstance(part, PINNED) and part.evidence is not None for part in parts)
    if has_prior and is_first((LatticePriorWarning, type(denoiser))):
        warn_caller(
            f"{type(denoiser).__name__} restores the lattice that it finds in each frame, so holes,"
            " dopants and other defects may be missing from the result: compare it with the noisy "
            "frames, or train a network without lattice prior (n_evidence=0).",
            LatticePriorWarning,
        )
