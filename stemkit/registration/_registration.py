"""What the registration of two frames gives."""

from __future__ import annotations

from dataclasses import dataclass

from .._motion import Motion


@dataclass(frozen=True)
class Registration:
    """How the specimen moved between two frames.

    Attributes
    ----------
    motion : Motion
        The most likely motion, first frame to second.
    confidence : float
        Probability that ``motion`` is right, and not off by a lattice vector or by chance.
    candidates : tuple of (Motion, float)
        Motions that are consistent with the frames, each with its weight, the likeliest first.
        The weights add up to 1; the first motion is ``motion``.
    overlap : float
        Share of the first frame that the second one shows too, according to ``motion``.
    contrast : {1, -1}, default=1
        -1 if the second frame has the reversed contrast of the first, as beyond focus: its negative
        was registered.
    """

    motion: Motion
    confidence: float
    candidates: tuple[tuple[Motion, float], ...]
    overlap: float
    contrast: int = 1
