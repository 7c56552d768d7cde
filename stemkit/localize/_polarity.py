"""Whether atoms are brighter or darker than what surrounds them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .._frame_statistics import DARK, contrast_skewness
from .._warnings import warn_caller
from ..exceptions import PolarityWarning
from ._peaks import Spots, guess_sigma, typical_height

# Ratio of the strengths of dark and bright spots above which atoms are dark. Lattices may have
# spots between their atoms that are as strong.
_CLEARLY_DARK = 1.25
_MIN_SIDE = 16
_DEFAULT_SIGMA = 1.5


def choose_polarity(
    frames: list[NDArray[np.float32]], bright: list[Spots], dark: list[Spots]
) -> Literal["bright", "dark"]:
    """Return "dark" if dark spots are much stronger than bright ones, with a warning."""
    height, depth = typical_height(bright), typical_height(dark)
    if min(frames[0].shape) < _MIN_SIDE or depth <= _CLEARLY_DARK * height:
        return "bright"
    # Beside few bright spots there are dark places, but the frame has more bright extremes.
    sigma = guess_sigma(dark) or _DEFAULT_SIGMA
    if np.median([contrast_skewness(np.ma.getdata(f), sigma) for f in frames]) > DARK:
        return "bright"
    reason = (
        f"dark spots are {depth / height:.1f} times as strong as bright ones"
        if height
        else "there are no bright spots"
    )
    warn_caller(
        f"Atoms are taken to be dark, since {reason}; pass polarity='dark', or 'bright' if that is "
        f"wrong.",
        PolarityWarning,
    )
    return "dark"
