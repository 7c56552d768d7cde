"""Frames in which a bright minority moves otherwise than the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .._validation import Float32Array
from ._confidence import MIN_CONFIDENCE
from ._refinement import Prepared, count_places
from ._registration import Registration

# Limit of the intensities of `limit_contrast`, in standard deviations from the median.
_LIMIT = 4.0
# Motions that are closer than this, in px of the binned frames, are one.
_APART = 3.0


def limit_contrast(frame: Float32Array) -> Float32Array | None:
    """Return a frame without intensities that stand out, or None if nothing else is left."""
    median = np.median(frame)
    spread = 1.4826 * float(np.median(np.abs(frame - median)))
    if spread == 0:
        return None
    return frame.clip(median - _LIMIT * spread, median + _LIMIT * spread)


def follow_majority(
    found: Registration, other: Registration, frames: Sequence[Prepared], binning: int
) -> Registration:
    """Return the motion of the larger part of the frame, with that of the rest as a candidate.

    Parameters
    ----------
    found : Registration
        By the frames as they are, in which a bright part may prevail.
    other : Registration
        By the frames of limited contrast.
    frames : sequence of two Prepared
        These, binned.
    binning : int
        Their binning.

    Returns
    -------
    Registration
        ``found`` itself if the other is the same motion, or doubtful.
    """
    apart = np.hypot(*(other.motion.drift - found.motion.drift))
    if other.confidence < MIN_CONFIDENCE or apart <= _APART * binning:
        return found
    height, width = frames[0].values.shape
    places = [
        count_places(frames, each.motion.rescaled(1 / binning, (height, width)))
        for each in (found, other)
    ]
    share = places[1] / max(sum(places), 1e-9)
    ranked = [(other, share), (found, 1 - share)]
    if share < 0.5:
        ranked.reverse()
    best, weight = ranked[0]
    candidates = sorted(
        ((motion, w * part) for each, part in ranked for motion, w in each.candidates),
        key=lambda candidate: (candidate[0] is not best.motion, -candidate[1]),
    )
    return replace(best, confidence=best.confidence * weight, candidates=tuple(candidates))
