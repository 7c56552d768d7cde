"""Frames of a series that show nothing, and what a warning says of doubtful ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from .._missing import Mask
from .._validation import Float32Array
from .._warnings import warn_caller
from ..exceptions import LowConfidenceWarning
from ..registration import Registration
from ..registration._doubt import has_structure, is_blank
from ..registration._pair import MIN_CONFIDENCE

# Doubtful frames of a series of which a warning says what they show; it takes a second each.
_EXPLAINED = 3
# In smaller frames noise and structure can't be told apart, in px a side.
_MIN_SIDE = 16


def reference_of(
    registrations: Mapping[tuple[int, int], Registration],
    frames: Float32Array,
    missing: Mask | None = None,
) -> int:
    """Return the frame that motions are relative to: the first, unless it shows nothing.

    Then it is the first frame that a registration of high confidence connects to another.
    """
    connected = {
        frame
        for pair, found in registrations.items()
        if found.confidence >= MIN_CONFIDENCE
        for frame in pair
    }
    lack = None if missing is None else missing[0]
    if not connected or 0 in connected or not (is_blank(frames[0]) or _is_empty(frames[0], lack)):
        return 0
    return min(connected)


def warn_of_frames(
    trajectory: pd.DataFrame,
    frames: Float32Array,
    explain: Callable[[int, int], str],
    missing: Mask | None = None,
) -> None:
    """Warn if the frames of a series do not determine the drift of some of them.

    Frames that show nothing are named as such. ``explain`` says of two frames what they show; a few
    of the other doubtful ones are looked at.
    """
    doubtful = trajectory.index[trajectory["confidence"] < MIN_CONFIDENCE].tolist()
    if not doubtful:
        return
    # The reference, of confidence 1, may be blank as well, if all frames are.
    blank = [index for index, frame in enumerate(frames) if is_blank(frame)]
    empty = [
        index
        for index in doubtful
        if index not in blank
        and _is_empty(frames[index], None if missing is None else missing[index])
    ]
    said = []
    if blank:
        said.append(f"Frames {blank} are blank, all of one value")
    if empty:
        said.append(f"Frames {empty} show no structure above the noise, as vacuum does")
    said = [f"{clause}, and their drift has no confidence; leave them out." for clause in said]
    lost = {*blank, *empty}
    certain = trajectory.index.difference(doubtful).difference(list(lost)).tolist()
    if 0 in lost and certain:
        said.append(
            f"The drift of the others is relative to frame {certain[0]}; their decay is relative "
            f"to frame 0 and means nothing."
        )
    others = [index for index in doubtful if index not in lost]
    shown = [index for index in trajectory.index if index not in lost]
    if others and len(shown) > 1:
        reasons = _reasons(others, shown, explain)
        said.append(
            f"The drift of frames {others} has a confidence below {MIN_CONFIDENCE}: {reasons}."
        )
    warn_caller(" ".join(said), LowConfidenceWarning)


def _reasons(doubtful: list[int], shown: list[int], explain: Callable[[int, int], str]) -> str:
    """Return what the first doubtful frames show, each with the frame shown before it."""
    looked_at = [index for index in doubtful if index != shown[0]][:_EXPLAINED] or [shown[1]]
    seen: dict[str, list[str]] = {}
    for index in looked_at:
        before = shown[shown.index(index) - 1]
        seen.setdefault(explain(before, index), []).append(f"{before} and {index}")
    return "; ".join(f"{why} (frames {', '.join(pairs)})" for why, pairs in seen.items())


def _is_empty(frame: Float32Array, lack: Mask | None) -> bool:
    """Return whether a frame shows noise alone."""
    if min(frame.shape) < _MIN_SIDE:
        return False
    if lack is not None and lack.any():
        if lack.all():
            return True
        frame = np.where(lack, frame[~lack].mean(), frame)
    return not has_structure(frame)
