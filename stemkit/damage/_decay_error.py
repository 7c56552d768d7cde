"""What each place of a decay map is worth: its standard error, and the prior where it has none.

The error of a map has several sources. In the widest window, the noise of the counts over the
structure that the window holds. In narrower windows, the variation of the decay that noise hides,
``v n / (v + n)`` of variance v under noise of variance n, as in a Wiener filter. Below the distance
of the columns, variation that no column shows. Where the signal is lost, the error of the
background level. And with much noise, what strong damage is drawn towards less.

The parts were weighted by non-negative least squares on the errors of simulated pairs, of
:func:`stemkit.datasets.make_damage_sequence` and of crystals and particles on films, 3 to 400
counts a pixel at the peak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._aligned_pair import AlignedPair, Background, Products, mean_positive
from ._decay_estimates import LEAST_SHARE
from ._filters import average_neighbouring_rows, gaussian_filter_dct

# Standard deviation of a decay of which nothing is known: that of numbers between 0 and 1.
PRIOR_ERROR = float(np.sqrt(1 / 12))
# Without any evidence a specimen is undamaged, to this standard deviation.
_UNDAMAGED_ERROR = 0.1
# Least standard deviation of the decay between distant places.
_LEAST_VARIATION = 0.05

# Standard deviations of the windows in px, the widest first; each is compared with its half.
_WINDOWS = (24.0, 12.0, 6.0)
# Window of the power of the noise.
_NOISE_WINDOW = 6.0
# Window in which the signal is compared with the background level.
_LEVEL_WINDOW = 12.0
# Noise that products hold at least, in units of the mean product: no model of a frame is better.
_LEAST_NOISE = 0.2
# A window holds nothing but noise up to this multiple of the noise's power.
_NOISE_POWER = 2.0
# Limits of the standard deviation that the decay varies by from one window to its half.
_LEAST_STEP, _MOST_STEP = 0.01, 0.15
# Halving the width of a window adds 1.8 times the variance of white noise.
_HALVED = 1.8
# Variance of the part that noise hides, that columns don't show, of the level, and of strong
# damage under noise, of which the last grows up to this multiple of a standard error of 0.05.
_HIDDEN, _UNSHOWN, _LEVEL, _DRAWN = 2.6, 1.4, 1.5, 0.019
_NOISY, _MOST_NOISY = 0.05, 4.0


@dataclass(frozen=True, eq=False)
class DecayError:
    """What a decay map is worth.

    Attributes
    ----------
    decay : ndarray of shape (H, W)
        The map, which takes the prior where nothing can be told.
    stderr : ndarray of shape (H, W)
        Its standard error, up to `PRIOR_ERROR`.
    """

    decay: NDArray
    stderr: NDArray


def decay_error(
    pair: AlignedPair,
    above: Products,
    background: Background,
    decay: NDArray,
    *,
    refined: bool = True,
) -> DecayError:
    """Estimate the standard error of a decay map, and give it the prior where it has no evidence.

    Parameters
    ----------
    pair : AlignedPair
        The frames.
    above : Products
        ``pair.above(background)``.
    background : Background
        The background with the standard error of its level.
    decay : ndarray of shape (H, W)
        The map.
    refined : bool, default=True
        Whether the map agrees with the frames as :func:`refine_decay` makes it. Otherwise it is
        returned as it is, and where it disagrees its error includes that.

    Returns
    -------
    DecayError
    """
    mean = mean_positive(above.reference)
    if mean <= 0:
        return DecayError(np.ones_like(decay), np.full_like(decay, PRIOR_ERROR))
    template = average_neighbouring_rows(pair.first.frame - background.level)
    evidence = _Evidence.of(pair, above, template, decay, mean)
    noise = {window: evidence.noise(window) for window in _WINDOWS}
    steps = _steps(evidence, decay, noise)

    widest = noise[_WINDOWS[0]]
    variance = PRIOR_ERROR**2 * widest / (PRIOR_ERROR**2 + widest)
    hidden, unshown = steps[_WINDOWS[1]], steps[_WINDOWS[2]]
    halved = _HALVED * noise[_WINDOWS[1]]
    variance = variance + _HIDDEN * hidden * halved / (hidden + halved) + _UNSHOWN * unshown
    damage = (1 - decay).clip(0)
    if background.stderr is not None:
        held = evidence.held(_LEVEL_WINDOW).clip(1e-9 * mean)
        share = np.abs(gaussian_filter_dct(template, _LEVEL_WINDOW)) / held * background.stderr
        variance = variance + _LEVEL * (damage * share) ** 2
    noisy = (noise[_WINDOWS[2]] / _NOISY**2).clip(0, _MOST_NOISY)
    variance = variance + _DRAWN * noisy * damage**2
    if not refined:
        window = _WINDOWS[1]
        power = gaussian_filter_dct((evidence.ratio(window) - decay) ** 2, window)
        variance = variance + (power - noise[window]).clip(0)
    variance = variance.clip(0, PRIOR_ERROR**2)
    if refined:
        decay = _with_prior(pair, decay, widest, variance)
    return DecayError(decay, np.sqrt(variance))


@dataclass(frozen=True, eq=False)
class _Evidence:
    """Products of a pair in float64, and the power of their noise."""

    reference: NDArray[np.float64]
    observed: NDArray[np.float64]
    residual: NDArray[np.float64]
    own_noise: NDArray[np.float64]
    least: float

    @classmethod
    def of(
        cls, pair: AlignedPair, above: Products, template: NDArray, decay: NDArray, mean: float
    ) -> _Evidence:
        reference, observed = (
            np.asarray(v, dtype=np.float64) for v in (above.reference, above.observed)
        )
        window, least = _NOISE_WINDOW / 2, LEAST_SHARE * mean
        held = gaussian_filter_dct(reference, window).clip(0) + least
        narrow = (gaussian_filter_dct(observed, window) / held).clip(-0.3, 1.3)
        squared = gaussian_filter_dct((observed - narrow * reference) ** 2, _NOISE_WINDOW)
        weight = above.overlap * template.astype(np.float64) ** 2
        first, second = (frame.noise_variance for frame in (pair.first, pair.second))
        own = gaussian_filter_dct(weight * first, _NOISE_WINDOW).clip(0)
        expected = gaussian_filter_dct(
            weight * (second + decay.clip(0, 1) ** 2 * first), _NOISE_WINDOW
        )
        residual = np.maximum(squared, expected).clip(0) + (_LEAST_NOISE * mean) ** 2
        return cls(reference, observed, residual, own, least)

    def held(self, window: float) -> NDArray:
        """Return the reference in a window."""
        return gaussian_filter_dct(self.reference, window)

    def ratio(self, window: float) -> NDArray:
        """Return the ratio of the frames in a window, which is 0 where it holds nothing."""
        return gaussian_filter_dct(self.observed, window) / (self.held(window).clip(0) + self.least)

    def noise(self, window: float) -> NDArray:
        """Return the variance of the ratio in a window; very large if it holds noise alone."""
        power = self.held(window).clip(1e-6 * self.least) ** 2
        residual, own = self.residual, self.own_noise
        if window > _NOISE_WINDOW:
            residual, own = (
                gaussian_filter_dct(v, window / np.sqrt(2)).clip(0) for v in (residual, own)
            )
        area = 4 * np.pi * window**2
        return residual / (area * power * (1 - _NOISE_POWER * own / (area * power)).clip(1e-6))


def _steps(
    evidence: _Evidence, decay: NDArray, noise: dict[float, NDArray]
) -> dict[float, NDArray]:
    """Return the variance of the decay between each window and its half.

    It is the frame's, or that of the map at a place where it is larger.
    """
    steps = {}
    largest = _MOST_STEP**2
    for window in _WINDOWS:
        added = _HALVED * noise[window]
        weight = (added + _NOISY**2) ** -2
        power = (evidence.ratio(window / 2) - evidence.ratio(window)) ** 2
        total = float(weight.sum())
        excess = float((weight * (power - added)).sum()) / total
        n_windows = total**2 / float((weight**2).sum()) / (20 * window**2)
        error = np.sqrt(2 / (n_windows + 1)) * float((weight * added).sum()) / total
        even = max(excess if excess > 2 * error else excess - error, 0.0) + _LEAST_STEP**2
        # Damage varies less from place to place, the closer they are.
        largest = min(even, largest)
        own = gaussian_filter_dct(decay, window / 2) - gaussian_filter_dct(decay, window)
        local = gaussian_filter_dct(own.astype(np.float64) ** 2, 2 * window)
        steps[window] = local.clip(largest, _MOST_STEP**2)
    return steps


def _with_prior(pair: AlignedPair, decay: NDArray, noise: NDArray, variance: NDArray) -> NDArray:
    """Draw a map to its prior by as much as its evidence is weaker than that.

    The prior is the decay of the whole frame, as far as its structure tells, and else 1. It is as
    strong as the decay is even, which the map shows beyond its own errors.
    """
    ratio, precision = _overall_ratio(pair)
    undamaged = _UNDAMAGED_ERROR**-2
    prior = (precision * ratio + undamaged) / (precision + undamaged)
    weight = (variance + _NOISY**2) ** -2
    weight = weight / weight.sum()
    mean = float((weight * decay).sum())
    excess = float((weight * ((decay - mean) ** 2 - variance)).sum())
    spread = min(max(excess, 0.0) + _LEAST_VARIATION**2, PRIOR_ERROR**2)
    return prior + spread / (spread + noise) * (decay - prior)


def _overall_ratio(pair: AlignedPair) -> tuple[float, float]:
    """Return the ratio of the frames' structure, which needs no background, and its precision."""
    structure = pair.structure
    reference = float(structure.reference.sum(dtype=np.float64))
    if reference <= 0:
        return 1.0, 0.0
    ratio = float(np.clip(structure.observed.sum(dtype=np.float64) / reference, 0, 1))
    weight = structure.overlap * pair.first.template.astype(np.float64) ** 2
    first, second = (
        float((weight * frame.noise_variance).sum()) / reference**2
        for frame in (pair.first, pair.second)
    )
    share = max(1 - _NOISE_POWER * first, 0.0)
    return ratio, share / max(second + ratio**2 * first, 1e-12)
