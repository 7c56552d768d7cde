"""The probability that the best motion found is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

# Below this confidence a drift is more likely wrong than right.
MIN_CONFIDENCE = 0.5
# Peaks below this share of the highest are not refined.
MIN_HEIGHT = 0.5
# Intercept and slope of two logistic regressions: of "is right" on the margin over the runner-up,
# and of "is not chance" on the height of the peak. Fitted to synthetic pairs with seeds that no
# benchmark uses.
_MARGIN_LOGISTIC = (3.0, 16.0)
_HEIGHT_LOGISTIC = (14.0, 2.0)
# Frames of a few counts agree in up to 7 places by chance, those of a specimen in 20 and more.
_FEW_PLACES = 9.0
# Correlation in standard errors that a motion within `max_step` exceeds if it is not chance. A few
# hundred motions are within reach, the highest of which is at 3 or 4.
_CHANCE_CORRELATION = 8.0
# Relative height of a peak beyond `max_step` at which that is as likely the right one.
_AS_LIKELY_BEYOND = 1.3


def confidence_of(
    height: float,
    heights: NDArray[np.float64],
    margins: NDArray[np.float64],
    overlaps: NDArray[np.float64],
    n_places: float,
) -> float:
    """Return the probability that the best candidate is right.

    It is the product of three logistic functions and one probability:

    - of the margin between the best candidate's height and the runner-up's;
    - of the height of its peak, which is low for frames of noise;
    - of the logarithm of the number of places in which the frames agree;
    - the probability that the frames correlate better under it than under every other candidate,
      each weighted by its overlap relative to the best one's.
    """
    significant = 1 / (1 + np.exp(_HEIGHT_LOGISTIC[0] - _HEIGHT_LOGISTIC[1] * height))
    many, best = _agreement(margins, overlaps, n_places)
    return float(distinctness(heights) * significant * many * best)


def confidence_within_step(
    correlation: float,
    beyond: float,
    heights: NDArray[np.float64],
    margins: NDArray[np.float64],
    overlaps: NDArray[np.float64],
    n_places: float,
) -> float:
    """Return the probability that the best candidate within ``max_step`` is right.

    Whether it is chance is told by its correlation (in standard errors): on a lattice all drifts by
    a lattice vector are peaks, and none is high compared with the others. A much higher peak
    ``beyond`` the limit (relative to its own) speaks against it.
    """
    significant = expit(correlation - _CHANCE_CORRELATION)
    likelier = 1 / (1 + (beyond / _AS_LIKELY_BEYOND) ** 16)
    many, best = _agreement(margins, overlaps, n_places)
    return float(distinctness(heights) * significant * likelier * many * best)


def distinctness(heights: NDArray[np.float64]) -> float:
    """Return the probability by the margin between the best candidate and the runner-up."""
    runner_up = heights[1] if len(heights) > 1 else MIN_HEIGHT
    return float(1 / (1 + np.exp(_MARGIN_LOGISTIC[0] - _MARGIN_LOGISTIC[1] * (1 - runner_up))))


def _agreement(
    margins: NDArray[np.float64], overlaps: NDArray[np.float64], n_places: float
) -> tuple[float, float]:
    many = 1 / (1 + (_FEW_PLACES / max(n_places, 1e-9)) ** 4)
    relative_overlap = np.minimum(overlaps[1:] / overlaps[0], 1.0)
    best = np.prod(1 - relative_overlap * ndtr(-margins))
    return float(many), float(best)
