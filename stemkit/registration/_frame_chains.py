"""Where a drift is expected, from the frames between that are registered already."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._motion import Motion
from ._confidence import MIN_CONFIDENCE
from ._pair import Registration
from ._search_limits import SearchLimits


class FrameChains:
    """Frames of a series that registrations of high confidence connect.

    Pairs are added from the closest to the furthest apart, and each is searched within
    ``max_step`` of the drift that the chain of closer pairs gives. So the nearest candidates are
    followed on a lattice, over any number of periods.

    Parameters
    ----------
    n_frames : int
        Number of frames.
    limits : SearchLimits
        Limits between consecutive frames.
    """

    def __init__(self, n_frames: int, limits: SearchLimits) -> None:
        self._limits = limits
        # The first frame of each frame's chain, and the motion from it.
        self._root = np.arange(n_frames)
        self._motions: list[Motion | None] = [None] * n_frames

    def limits_of(self, i: int, j: int) -> SearchLimits:
        """Return the limits between two frames."""
        expected = None
        if self._limits.max_step is not None and self._root[i] == self._root[j]:
            expected = self._drift(i, j)
        return self._limits.after(j - i, expected)

    def add(self, i: int, j: int, found: Registration) -> None:
        """Join the chains of two frames, if their registration is to be trusted."""
        if found.confidence < MIN_CONFIDENCE or self._root[i] == self._root[j]:
            return
        identity = Motion(found.motion.shape)
        to_i, to_j = (self._motions[k] or identity for k in (i, j))
        # From the root of i's chain to that of j's.
        between = to_i.then(found.motion).then(to_j.inverse())
        root, joined = self._root[i], np.flatnonzero(self._root == self._root[j])
        for k in joined:
            self._motions[k] = between.then(self._motions[k] or identity)
        self._root[joined] = root

    def _drift(self, i: int, j: int) -> NDArray[np.float64] | None:
        to_i, to_j = self._motions[i], self._motions[j]
        if to_j is None:
            return None if to_i is None else to_i.inverse().drift
        return (to_i.inverse().then(to_j) if to_i is not None else to_j).drift
