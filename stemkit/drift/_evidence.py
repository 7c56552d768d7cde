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

# Standard error that the regression on what is left may have, and the least and widest window.
_STANDARD_ERROR = 0.03
_LEFTOVER_WINDOWS = (6.0, 20.0)

# Slower than this is thickness, not structure.
_LOW_CUT = 16.0
# Columns are wider than this smoothing, so it takes from noise and little else.
_SMOOTHING = 1.0
# Where the first frame has less than this share of its usual structure there is none to compare.
_FLOOR = 0.1


def evidence_maps(
    first: Float32Array, second: Float32Array, overlap: Float32Array | None = None
) -> Float32Array:
    """Estimate the decay between two aligned frames in several ways.

    Parameters
    ----------
    first, second : ndarray of shape (H, W), float32
        Frames with structure of 6 to 20 px, the second aligned to the first.
    overlap : ndarray of shape (H, W), float32, optional
        1 where the second frame holds data and 0 where not: windows count the former alone.

    Returns
    -------
    ndarray of shape (N_EVIDENCE, H, W), float32
        Estimates in 0..1: from the covariance in four windows, from the power, from the mean.
    """
    detail = [frame - _smooth(frame, _LOW_CUT) for frame in (first, second)]
    fine = [_smooth(frame, _SMOOTHING) for frame in detail]
    noise = _noise_power(first, detail[0])
    inside = np.ones_like(first) if overlap is None else overlap
    square, product = inside * (fine[0] ** 2 - noise), inside * fine[0] * fine[1]
    estimates = []
    for window in _COVARIANCE_WINDOWS:
        estimates.append(_ratio(_smooth(product, window), _smooth(square, window)))
    # Shot noise is independent between neighbours: what they share along a row is structure,
    # wherever the scan has put that row.
    shared = [_smooth(inside * _neighbour_product(frame, 1), _POWER_WINDOW) for frame in detail]
    estimates.append(np.sqrt(_ratio(shared[1], shared[0])))
    dark = min(np.percentile(_smooth(frame, 2.0), 1) for frame in (first, second))
    broad = [_smooth(inside * (frame - dark), _MEAN_WINDOW) for frame in (first, second)]
    estimates.append(_ratio(broad[1], broad[0]))
    return np.stack(estimates).astype(np.float32)


def unexplained_decay(
    first: Float32Array,
    second: Float32Array,
    decay: Float32Array,
    overlap: Float32Array | None = None,
) -> Float32Array:
    """Measure what a decay map leaves unexplained of what two aligned frames share.

    The estimates err differently, and so does what is made of them; but in a window wide enough to
    average the noise, structure that the first frame has and the second lacks is a fact. This is
    that regression's word on the map, to be added to it.

    Parameters
    ----------
    first, second : ndarray of shape (H, W), float32
        As for :func:`evidence_maps`.
    decay : ndarray of shape (H, W), float32
        The map in question.
    overlap : ndarray of shape (H, W), float32, optional
        As for :func:`evidence_maps`.

    Returns
    -------
    ndarray of shape (H, W), float32
        Missing decay; its window is as wide as the noise asks for.
    """
    detail = [frame - _smooth(frame, _LOW_CUT) for frame in (first, second)]
    fine = [_smooth(frame, _SMOOTHING) for frame in detail]
    noise = [_noise_power(*pair) for pair in zip((first, second), detail, strict=True)]
    inside = np.ones_like(first) if overlap is None else overlap
    square = [inside * (values**2 - power) for values, power in zip(fine, noise, strict=True)]
    product = inside * fine[0] * fine[1]
    power = float(np.mean(square[0]))
    if power <= 0:
        return np.zeros_like(first)
    # Rows that were jittered lie beside each other: the frames then share less than both have, by
    # a factor that is the same everywhere. A decay that varies within a window lowers what they
    # share too; that much is expected of the map itself.
    kept = _shared(product, *square) / _shared(decay * square[0], square[0], decay**2 * square[0])
    product = product / np.clip(kept, 0.5, 1)
    # The ratio's variance in a window of standard deviation w is 2 (noise / signal) / w^2, in
    # units of the smoothing.
    window = np.sqrt(2 * float(np.mean(noise[0])) / power) * _SMOOTHING / _STANDARD_ERROR
    window = float(np.clip(window, *_LEFTOVER_WINDOWS))
    return _leftover(product - decay * square[0], square[0], window)


def _shared(product: NDArray, first: NDArray, second: NDArray) -> float:
    """Correlation within windows of two frames, from their product and their powers."""
    local = [np.maximum(_smooth(values, _POWER_WINDOW), 0) for values in (product, first, second)]
    return float(local[0].sum() / max(np.sqrt(local[1] * local[2]).sum(), 1e-30))


def _leftover(missing: NDArray, square: NDArray, window: float) -> Float32Array:
    norm = _smooth(square, window)
    floor = _FLOOR * float(np.mean(np.maximum(norm, 0)))
    return (_smooth(missing, window) / np.maximum(norm, floor)).astype(np.float32)


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
