"""Direct estimates of the decay, between which the network chooses.

Each is a ratio of sums over a window, ``sum(t * I2) / sum(t * I1)``, of a template t and the two
frames. The template is the first frame's structure as the *neighbouring* rows show it. Noise and
jitter of a row then enter one factor alone and average out, without a model of either.

The estimates differ in the width of the window, since narrow windows are noisy and wide ones blur,
and in what they compare. The first ones compare all intensity above the background level
(:mod:`stemkit.damage._background_level`): the local mean has little noise and fills the gaps
between columns, but contains film and amorphised matter, hence the level. Others compare the
structure without its local mean. Two compare the power of the structure, which tolerates
misalignment but takes new structure for old.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._validation import Float32Array
from ._aligned_pair import AlignedPair, Products, mean_positive
from ._filters import gaussian_filter_dct, shift_columns

# Standard deviations of the windows in px of the network's frames, the widest first.
_WINDOWS = (24.0, 12.0, 6.0, 3.0, 1.5, 0.7)
_STRUCTURE_WINDOWS = (12.0, 6.0, 3.0)
_POWER_WINDOWS = (12.0, 6.0)
# Index of the first window so narrow that what its estimate leaves unexplained is noise.
_NARROW = 3
N_ESTIMATES = len(_WINDOWS) + len(_STRUCTURE_WINDOWS) + len(_POWER_WINDOWS) + 1
# Window of the standard error, which is given on a logarithmic scale of so many decades below 1.
_ERROR_WINDOW = 6.0
_DECADES = 3.0

# With a standard error below the first, a window's correction is applied in full; above the
# second, not at all.
_LOW_ERROR, _HIGH_ERROR = 0.03, 0.06
# In between, the part of its power beyond this multiple of the noise's counts as signal; power is
# averaged over a window so many times as wide.
_NOISE_FACTOR, _POWER_WIDTH = 0.8, 4.0

# Where a window holds less than this share of the mean structure, the next wider one prevails.
LEAST_SHARE = 0.03


def decay_estimates(pair: AlignedPair, above: Products) -> Float32Array:
    """Estimate the decay between two aligned frames in several ways, with a standard error.

    Parameters
    ----------
    pair : AlignedPair
        The two frames.
    above : Products
        ``pair.above(background)``.

    Returns
    -------
    ndarray of shape (N_ESTIMATES + 1, H, W), float32
        Estimates in [0, 1]: from all intensity above the background in six windows, from structure
        alone in three, from its power in two, and the result of :func:`refine_decay` for an even
        map. The last is the standard error of the third estimate on a logarithmic scale, 0 for
        0.001 or less and 1 for 1.
    """
    structure = _ratios(pair.structure.observed, pair.structure.reference, _STRUCTURE_WINDOWS)
    powers = [
        pair.overlap * frame.detail * shift_columns(frame.detail)
        for frame in (pair.first, pair.second)
    ]
    power = _ratios(powers[1], powers[0], _POWER_WINDOWS)
    estimates = _ratios(above.observed, above.reference, _WINDOWS)
    variance = _variance(above, estimates[_NARROW])
    mean = _overall_ratio(above.observed, above.reference)
    refined = refine_decay(above, np.full_like(above.reference, mean))
    error = np.sqrt(variance / (4 * np.pi)) / _ERROR_WINDOW
    error = 1 + np.log10(error.clip(10**-_DECADES)) / _DECADES
    roots = [np.sqrt(ratio.clip(0)) for ratio in power]
    maps = [*estimates, *structure, *roots, refined, error]
    return np.stack(maps).clip(0, 1).astype(np.float32)


def refine_decay(above: Products, decay: NDArray) -> NDArray:
    """Correct a decay map by the signal that it leaves unexplained.

    In a window wide enough to average the noise, the ratio of the two frames' signal is known. The
    map is corrected to it in ever narrower windows, by as much as stands out from the noise.

    Parameters
    ----------
    above : Products
        ``pair.above(background)``.
    decay : ndarray of shape (H, W)
        The map to correct.

    Returns
    -------
    ndarray of shape (H, W)
        Values may lie slightly outside [0, 1].
    """
    mean = mean_positive(above.reference)
    if mean <= 0:
        return decay

    def unexplained(window: float) -> NDArray:
        reference = gaussian_filter_dct(above.reference, window).clip(0) + LEAST_SHARE * mean
        return gaussian_filter_dct(above.observed - decay * above.reference, window) / reference

    for window in _WINDOWS:
        step = unexplained(window)
        # Halving the width of the window adds 1.8 times the variance of white noise.
        finer = (unexplained(window / 2) - step) ** 2 / 1.8
        # Pixels outside the overlap contain neither signal nor noise and are left out.
        inside = gaussian_filter_dct(above.overlap, _POWER_WIDTH * window).clip(1e-3)
        power, noise = (
            (gaussian_filter_dct(above.overlap * v, _POWER_WIDTH * window) / inside).clip(1e-12)
            for v in (step**2, finer)
        )
        # Gradual transitions leave no visible border in the map.
        full, partial = ((1.5 - noise / error**2).clip(0, 1) for error in (_LOW_ERROR, _HIGH_ERROR))
        wiener = partial * (1 - _NOISE_FACTOR * noise / power).clip(0)
        decay = decay + (full + (1 - full) * wiener) * step
    return decay


def _overall_ratio(observed: NDArray, reference: NDArray) -> float:
    mean = mean_positive(reference)
    if mean <= 0:
        return 1.0
    return float(np.clip(observed.mean() / mean, 0, 1))


def _ratios(observed: NDArray, reference: NDArray, windows: tuple[float, ...]) -> list[NDArray]:
    """Compute ratios in ever narrower windows.

    Where a window holds little of the reference, the ratio approaches that of the wider window.
    """
    mean = mean_positive(reference)
    if mean <= 0:
        return [np.ones_like(reference) for _ in windows]
    wider: NDArray | float = _overall_ratio(observed, reference)
    ratios = []
    for window in windows:
        prior = LEAST_SHARE * mean
        held = gaussian_filter_dct(reference, window)
        # With noise the sum in a narrow window may be negative, of which no share can be taken.
        ratio = np.where(held > 0, gaussian_filter_dct(observed, window), 0) + prior * wider
        wider = (ratio / (held.clip(0) + prior)).clip(-0.3, 1.3)
        ratios.append(wider)
    return ratios


def _variance(above: Products, narrow: NDArray) -> NDArray:
    """Return the variance of a ratio in a window, times 4 pi window^2.

    Its source is what even the ratio in a narrow window does not explain: noise and misplaced rows.
    """
    mean = mean_positive(above.reference)
    if mean <= 0:
        return np.zeros_like(above.reference)
    reference = gaussian_filter_dct(above.reference, _ERROR_WINDOW).clip(LEAST_SHARE * mean)
    residual = (above.observed - narrow * above.reference) ** 2
    return gaussian_filter_dct(residual, _ERROR_WINDOW).clip(0) / reference**2
