"""What a frame tells about its noise and its atoms before anything is found in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import skew

Float64Array = NDArray[np.float64]

# Immerkær's mask, which keeps the standard deviation of white noise and passes structure the least.
FINEST = np.outer((1, -2, 1), (1, -2, 1)) / 6
# Frequencies in cycles per px. Atoms of a standard deviation of 1 px or more have no structure
# beyond the first; of the second and the third, white noise has the same power.
_NOISE_ALONE = 0.4
_MIDDLE = 0.36, 0.44
_HIGHEST = 0.58
# Lowest frequencies along either axis, which slow changes and noise of whole lines share.
_LINES = 2.5
# Skewness below which atoms are taken to be dark, and the side of frames that show it.
DARK = -0.3
MIN_SIDE = 48
# Least number of rings from which the width of an atom is estimated, and the least power of the
# strongest one in that of the noise.
_MIN_RINGS = 2
_MIN_POWER = 1.0


def noise_level(frame: NDArray) -> float:
    """Estimate the standard deviation of white noise by Immerkær's method.

    Its mask is insensitive to slopes and to lines along an axis, and nearly so to atoms.
    """
    residual = ndimage.correlate(frame.astype(float), FINEST)
    return float(np.sqrt(np.pi / 2) * np.abs(residual).mean())


def mean_noise_level(frames: NDArray) -> float:
    """Return the mean noise level of frames (n, ..., H, W)."""
    return float(np.mean([noise_level(frame) for frame in frames.reshape(-1, *frames.shape[-2:])]))


class SpectralStatistics(NamedTuple):
    """What the power spectrum of a frame shows.

    Attributes
    ----------
    whiteness : float
        Power of the highest frequencies over that of medium ones: 1 for white noise, less if
        neighbouring pixels share noise, as after interpolation or by a camera's blur. NaN for
        frames too small or without noise.
    whiteness_error : float
        Its standard error.
    atom_sigma : float
        Standard deviation in px of a Gaussian whose spectrum falls as that of the structure does;
        NaN if no structure stands out of the noise.
    """

    whiteness: float
    whiteness_error: float
    atom_sigma: float


def spectral_statistics(frame: NDArray) -> SpectralStatistics:
    """Measure the correlation of the noise and the width of the atoms from the power spectrum.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        A frame in any unit.

    Returns
    -------
    SpectralStatistics
    """
    height, width = frame.shape
    unknown = SpectralStatistics(np.nan, np.nan, np.nan)
    if min(height, width) < 16:
        return unknown
    values = frame.astype(float)
    values -= values.mean()
    if values.std() <= 1e-9 * np.abs(frame).max():
        return unknown
    window = np.hanning(height)[:, np.newaxis] * np.hanning(width)
    power = np.abs(np.fft.rfft2(values * window)) ** 2
    fy = np.abs(np.fft.fftfreq(height))[:, np.newaxis]
    fx = np.fft.rfftfreq(width)[np.newaxis]
    inside = (fy > _LINES / height) & (fx > _LINES / width)
    frequency, power = np.hypot(fy, fx)[inside], power[inside]
    medium = power[(frequency > _MIDDLE[0]) & (frequency < _MIDDLE[1])]
    highest = power[frequency > _HIGHEST]
    # Frames without noise have rounding errors at the highest frequencies.
    if not medium.size or not highest.size or medium.mean() <= 1e-12 * power.max():
        return unknown
    whiteness = float(highest.mean() / medium.mean())
    # Neighbouring coefficients share power because of the window.
    error = whiteness * float(np.sqrt(3 / highest.size + 3 / medium.size))
    return SpectralStatistics(whiteness, error, _width(frequency, power))


def _width(frequency: Float64Array, power: Float64Array) -> float:
    """Fit a Gaussian to the power above the noise, from its strongest ring outwards."""
    noise = power[frequency > _NOISE_ALONE].mean()
    n_rings = max(12, round(np.sqrt(power.size) / 6))
    ring = np.floor(frequency / _NOISE_ALONE * n_rings).astype(int)
    inner = ring < n_rings
    counts = np.bincount(ring[inner], minlength=n_rings)
    sums = np.bincount(ring[inner], power[inner], minlength=n_rings)
    known = counts > 0
    excess = sums[known] / counts[known] / noise - 1
    center = (np.arange(n_rings)[known] + 0.5) * _NOISE_ALONE / n_rings
    error = (excess + 1) * np.sqrt(3 / counts[known]) + 0.01
    first = int(np.argmax(excess))
    significant = excess > 3 * error
    last = first
    while last + 1 < len(excess) and significant[last + 1]:
        last += 1
    if excess[first] < _MIN_POWER or last - first < _MIN_RINGS:
        return float("nan")
    rings = slice(first, last + 1)
    slope = np.polyfit(
        center[rings] ** 2, np.log(excess[rings]), 1, w=excess[rings] / error[rings]
    )[0]
    return float(np.sqrt(max(-slope, 0.0)) / (2 * np.pi))


def contrast_skewness(frame: NDArray, sigma: float) -> float:
    """Return the skewness of a frame's structure of one size.

    It is positive if bright atoms stand on a dark background, and negative for dark ones.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        A frame in any unit.
    sigma : float
        Standard deviation in px of the atoms.

    Returns
    -------
    float
    """
    values = frame.astype(float)
    structure = ndimage.gaussian_filter(values, sigma) - ndimage.gaussian_filter(values, 4 * sigma)
    spread = structure.std()
    return float(skew(structure, axis=None)) if spread > 1e-6 * np.abs(values).max() else 0.0
