"""Filters for the estimates of background and decay; borders are mirrored."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from .._frame_statistics import FINEST
from .._validation import Float32Array

# Standard deviation in px of the Gaussian that `high_pass` subtracts. Slower changes of intensity
# are changes of thickness, not structure.
HIGH_PASS_SIGMA = 16.0


def gaussian_filter_dct(values: NDArray, sigma: float) -> NDArray:
    """Filter an array of shape (H, W) with a Gaussian of ``sigma`` px by cosine transforms.

    Cosine transforms imply the mirrored border, and a wide window takes no longer than a narrow
    one.
    """
    spectrum = fft.dctn(values)
    for axis, side in enumerate(values.shape):
        spectrum *= np.expand_dims(_transfer(side, sigma, values.dtype.char), 1 - axis)
    return fft.idctn(spectrum, overwrite_x=True)


@lru_cache(maxsize=128)
def _transfer(side: int, sigma: float, dtype: str) -> NDArray:
    return np.exp(-0.5 * (np.pi * sigma * np.arange(side) / side) ** 2).astype(dtype)


def high_pass(frame: Float32Array) -> Float32Array:
    """Subtract the local mean of a frame in a Gaussian window of `HIGH_PASS_SIGMA`."""
    return frame - gaussian_filter_dct(frame, HIGH_PASS_SIGMA)


def average_neighbouring_rows(frame: Float32Array) -> Float32Array:
    """Replace each row by a weighted mean of the three rows above it and the three below.

    The row itself does not enter, so its noise and its jitter do not either. The mean product of a
    frame and this template measures the structure that neighbouring rows share.
    """
    distance = np.arange(-3, 4)
    weights = np.exp(-0.5 * distance**2) * (distance != 0)
    along = ndimage.gaussian_filter1d(frame, 1.0, axis=1)
    return ndimage.correlate1d(along, weights / weights.sum(), axis=0, mode="mirror")


def shift_columns(frame: Float32Array, lag: int = 1) -> Float32Array:
    """Replace each pixel by the one ``lag`` px to its right, mirrored at the border."""
    return np.pad(frame, ((0, 0), (0, lag)), mode="symmetric")[:, lag:]


def estimate_noise_variance(
    frame: Float32Array, detail: Float32Array, inside: NDArray[np.bool_] | None = None
) -> Float32Array:
    """Estimate the variance of white noise at each pixel, (H, W), from a frame and its detail.

    The autocovariance along the rows is extrapolated from lags 1 and 2 to lag 0 as a Gaussian,
    which it is for Gaussian columns. What the variance exceeds it by is white noise. How it grows
    with the local mean, as shot noise does, is taken from the finest detail, so that an offset of
    the detector has no influence. Only pixels ``inside`` are used, by default all.
    """
    if inside is not None and not inside.any():
        return np.zeros_like(frame)

    def mean(values: NDArray) -> float:
        return float(np.mean(values) if inside is None else np.mean(values[inside]))

    lags = [mean(detail * shift_columns(detail, lag)) for lag in (0, 1, 2)]
    if lags[1] <= 0:
        white = lags[0]
    else:
        extrapolated = lags[1] * (lags[1] / max(lags[2], 0.05 * lags[1])) ** (1 / 3)
        white = max(lags[0] - extrapolated, 0.0)
    local_mean = gaussian_filter_dct(frame, 2.0)
    lowest = local_mean.min() if inside is None else local_mean[inside].min()
    level = (local_mean - lowest).clip(0).astype(np.float64)
    power = ndimage.correlate(detail, FINEST.astype(detail.dtype), mode="mirror") ** 2.0
    average = mean(level)
    slope = mean((level - average) * power)
    variance = float(np.var(level) if inside is None else np.var(level[inside]))
    slope /= max(variance * mean(power), np.finfo(float).tiny)
    # Between the same noise everywhere and none where the frame is darkest.
    steepest = 1 / max(average, np.finfo(float).tiny)
    share = 1 + min(max(slope, 0.0), steepest) * (level - average)
    return (white * share).astype(np.float32)
