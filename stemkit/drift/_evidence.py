"""Measured estimates of the decay, between which the network chooses.

Each compares the two aligned frames in windows, in a way that errs differently. How the second
frame's structure varies together with the first's does not see background, but loses contrast where
rows are jittered; the power of its structure bears jitter, but takes new structure for old; its
mean is quietest, but is blind to amorphised matter, whose mean stays. What is narrow is noisy,
what is wide is blurred.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._validation import Float32Array

# Standard deviations of the windows in px, for frames as the network sees them.
_COVARIANCE_WINDOWS = (3.0, 6.0, 12.0, 24.0)
_POWER_WINDOW = 8.0
_MEAN_WINDOW = 8.0
N_EVIDENCE = len(_COVARIANCE_WINDOWS) + 2

# Slower than this is thickness, not structure.
_LOW_CUT = 16.0
# Columns are wider than this smoothing, so it takes from noise and little else.
_SMOOTHING = 1.0
# Where the first frame has less than this share of its usual structure there is none to compare.
_FLOOR = 0.1


def evidence_maps(first: Float32Array, second: Float32Array) -> Float32Array:
    """Estimate the decay between two aligned frames in several ways.

    Parameters
    ----------
    first, second : ndarray of shape (H, W), float32
        Frames with structure of 6 to 20 px, the second aligned to the first.

    Returns
    -------
    ndarray of shape (N_EVIDENCE, H, W), float32
        Estimates in 0..1: from the covariance in four windows, from the power, from the mean.
    """
    detail = [frame - _smooth(frame, _LOW_CUT) for frame in (first, second)]
    fine = [_smooth(frame, _SMOOTHING) for frame in detail]
    noise = _noise_power(first, detail[0])
    square, product = fine[0] ** 2 - noise, fine[0] * fine[1]
    estimates = []
    for window in _COVARIANCE_WINDOWS:
        estimates.append(_ratio(_smooth(product, window), _smooth(square, window)))
    # Shot noise is independent between neighbours: what they share along a row is structure,
    # wherever the scan has put that row.
    shared = [_smooth(_neighbour_product(frame, 1), _POWER_WINDOW) for frame in detail]
    estimates.append(np.sqrt(_ratio(shared[1], shared[0])))
    broad = [_smooth(frame, _MEAN_WINDOW) for frame in (first, second)]
    dark = min(np.percentile(_smooth(frame, 2.0), 1) for frame in (first, second))
    estimates.append(_ratio(broad[1] - dark, broad[0] - dark))
    return np.stack(estimates).astype(np.float32)


def _smooth(values: NDArray, sigma: float) -> NDArray:
    return ndimage.gaussian_filter(values, sigma, mode="reflect")


def _neighbour_product(frame: Float32Array, lag: int) -> Float32Array:
    """Product of each pixel with the one ``lag`` to its right, mirrored at the border."""
    return frame * np.pad(frame, ((0, 0), (0, lag)), mode="symmetric")[:, lag:]


def _noise_power(first: Float32Array, detail: Float32Array) -> NDArray:
    """Estimate the noise power, after smoothing, in the first frame's structure.

    White noise is what the variance has beyond the autocovariance continued to lag 0 from lags 1
    and 2, which for Gaussian columns is a Gaussian; as shot noise does, it goes with the signal.
    """
    lags = [float(np.mean(_neighbour_product(detail, lag))) for lag in (1, 2)]
    variance = float(np.mean(detail**2))
    if lags[0] <= 0:
        white = variance
    else:
        continued = lags[0] * (lags[0] / max(lags[1], 0.05 * lags[0])) ** (1 / 3)
        white = max(variance - continued, 0.0)
    level = np.maximum(_smooth(first, 2.0), 0)
    mean_level = float(level.mean())
    share = level / mean_level if mean_level > 0 else np.ones_like(level)
    # Smoothing of white noise by a Gaussian leaves 1 / (4 pi sigma^2) of its power.
    return white / (4 * np.pi * _SMOOTHING**2) * share


def _ratio(numerator: NDArray, denominator: NDArray) -> NDArray:
    """Return the ratio cut to 0..1, and 1, no damage, where there is nothing to compare."""
    usual = float(np.mean(np.maximum(denominator, 0)))
    if usual <= 0:
        return np.ones_like(denominator)
    return (numerator / np.maximum(denominator, _FLOOR * usual)).clip(0, 1)
