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
# Frames of different places of a specimen agree in 10 to 35 under the best of all motions. Where
# its peak is not above the runner-up's by about this number of root mean squares, more places are
# needed.
_MORE_PLACES, _SHARP = 24.0, 7.0
# Part of the signal's share that the peaks of the spectrum of white noise seem to have.
_SEEMING_SIGNAL = 0.3
# Frames of little noise that do not overlap correlate by 0.13 to 0.5 less than their signal allows,
# and those that do by 0.03 at most. How much noise that is, in the correlation expected. A peak
# this much above the runner-up's is believed all the same, since blur and focus lower the
# correlation too.
_LACK, _LITTLE_NOISE, _SHARP_ENOUGH = 0.1, 0.75, 9.5
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
    *,
    correlation: float = 1.0,
    expected: float = 0.0,
) -> float:
    """Return the probability that the best candidate is right.

    It is the product of four logistic functions and one probability:

    - of the margin between the best candidate's height and the runner-up's;
    - of the height of its peak, which is low for frames of noise;
    - of the logarithm of the number of places in which the frames agree, relative to what chance
      gives for a peak of its height;
    - if there is little noise, of what the frames' ``correlation`` lacks of the ``expected`` one;
    - the probability that the frames correlate better under it than under every other candidate,
      each weighted by its overlap relative to the best one's.
    """
    significant = 1 / (1 + np.exp(_HEIGHT_LOGISTIC[0] - _HEIGHT_LOGISTIC[1] * height))
    above = height * (1 - _runner_up(heights))
    places = _FEW_PLACES + (_MORE_PLACES - _FEW_PLACES) * expit(1.5 * (_SHARP - above))
    lacks = expit(40 * (expected - correlation - _LACK)) * expit(30 * (expected - _LITTLE_NOISE))
    agrees = 1 - expit(_SHARP_ENOUGH - above) * lacks
    many, best = _agreement(margins, overlaps, n_places, places)
    return float(distinctness(heights) * significant * many * agrees * best)


def expected_correlation(*signal: float) -> float:
    """Return the correlation of two frames of one place, from the share of signal in each."""
    shares = [max(share - _SEEMING_SIGNAL, 0.0) / (1 - _SEEMING_SIGNAL) for share in signal]
    return float(np.sqrt(np.prod(shares)))


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
    margin = 1 - _runner_up(heights)
    return float(1 / (1 + np.exp(_MARGIN_LOGISTIC[0] - _MARGIN_LOGISTIC[1] * margin)))


def _runner_up(heights: NDArray[np.float64]) -> float:
    return float(heights[1]) if len(heights) > 1 else MIN_HEIGHT


def _agreement(
    margins: NDArray[np.float64],
    overlaps: NDArray[np.float64],
    n_places: float,
    few: float = _FEW_PLACES,
) -> tuple[float, float]:
    many = 1 / (1 + (few / max(n_places, 1e-9)) ** 4)
    relative_overlap = np.minimum(overlaps[1:] / overlaps[0], 1.0)
    best = np.prod(1 - relative_overlap * ndtr(-margins))
    return float(many), float(best)
