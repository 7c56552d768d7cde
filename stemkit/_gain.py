"""The gain of a frame: how much the variance of its noise rises with the intensity."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ._arrays import Float32Array
from ._frame_statistics import FINEST, spectral_statistics
from ._missing import Mask

# Standard errors by which a slope differs from none, and one gain from another.
CERTAIN = 4.0
_N_LEVELS = 20
_LEAST_COUNT = 10
# Least variance by which a group is weighted, in that of the noisiest: a vacuum with hardly any
# counts would decide alone.
_LEAST_SHARE = 1e-3
# Fewest pixels that tell the noise, if others are left out.
_FEWEST = 32**2
# Share of each pixel of the mask's footprint in the variance of its response.
_FOOTPRINT = FINEST**2 / (FINEST**2).sum()
# Noise that neighbours share is not that of single pixels, from which the gain is measured.
_LEAST_WHITENESS = 0.6


def _surroundings() -> NDArray[np.float64]:
    """Return the weights of a Gaussian window without the footprint of the mask."""
    y, x = np.mgrid[-4:5, -4:5]
    weights = np.exp(-(y**2 + x**2) / 4.5) * (np.maximum(np.abs(y), np.abs(x)) > 1)
    return weights / weights.sum()


_SURROUNDINGS = _surroundings()


class Gain(NamedTuple):
    """Counts of a single electron, and the standard error of its logarithm."""

    value: float
    error: float


class NoiseFit(NamedTuple):
    """A straight line through the variance of the noise as a function of the intensity.

    Attributes
    ----------
    slope : float
        Increase of the variance with the intensity.
    error : float
        Standard error of the slope.
    level, variance : float
        A point of the line: the mean intensity of the groups of pixels, and the variance there.
    darkest : float
        Mean intensity of the darkest group of pixels.
    """

    slope: float
    error: float
    level: float
    variance: float
    darkest: float

    def at(self, level: float) -> float:
        """Return the variance at an intensity, not less than 0."""
        return max(self.variance + self.slope * (level - self.level), 0.0)


def fit_noise(frame: Float32Array, where: Mask | None = None) -> NoiseFit | None:
    """Fit the variance of the finest details, which are noise, to the intensity around them.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32
        A frame with noise that is independent from pixel to pixel.
    where : ndarray of shape (H, W), bool, optional
        Pixels that hold data; all by default.

    Returns
    -------
    NoiseFit or None
        None if the frame is too small or has too few intensities.
    """
    values = frame.astype(float)
    square = ndimage.correlate(values, FINEST, mode="mirror") ** 2
    level = ndimage.correlate(values, _FOOTPRINT, mode="mirror")
    # Pixels are grouped by what surrounds them: grouped by their own level, noise would widen its
    # range and flatten the slope, the more, the fainter the structure.
    around = ndimage.correlate(values, _SURROUNDINGS, mode="mirror")
    if where is not None:
        # The neighbours of filled pixels have less noise.
        inner = ndimage.binary_erosion(where, np.ones((3, 3)), border_value=1)
        level, around, square = level[inner], around[inner], square[inner]
        if level.size < _FEWEST:
            return None
    borders = np.unique(np.quantile(around, np.linspace(0, 1, _N_LEVELS + 1)))
    if len(borders) < 4:
        return None
    group = np.digitize(around, borders[1:-1])
    counts = np.bincount(group.ravel(), minlength=len(borders) - 1)
    if counts.min() < _LEAST_COUNT:
        return None
    mean = ndimage.mean(level, group, np.arange(len(counts)))
    # The median of few counts would be too small.
    variance = ndimage.mean(square, group, np.arange(len(counts)))
    if variance.min() <= 0:
        return None
    # Squares of neighbouring pixels are correlated by the mask.
    weight = np.sqrt(counts / 6) / np.maximum(variance, _LEAST_SHARE * variance.max())
    scale = np.ptp(mean)
    terms = np.stack([np.ones_like(mean), (mean - mean.mean()) / scale], axis=1)
    normal = (terms * weight[:, np.newaxis] ** 2).T @ terms
    covariance = np.linalg.inv(normal)
    at_mean, slope = (covariance @ (terms.T @ (weight**2 * variance))).tolist()
    slope, error = slope / float(scale), float(np.sqrt(covariance[1, 1]) / scale)
    return NoiseFit(slope, error, float(mean.mean()), at_mean, float(mean.min()))


def gain(frame: Float32Array, where: Mask | None = None) -> Gain:
    """Measure the gain as the slope of the variance of the noise over the intensity.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32
        A frame.
    where : ndarray of shape (H, W), bool, optional
        Pixels that hold data; all by default.

    Returns
    -------
    Gain
        NaN with an infinite error if it is not certain, or neighbouring pixels share noise.
    """
    unknown = Gain(np.nan, np.inf)
    if not spectral_statistics(frame).whiteness > _LEAST_WHITENESS:
        return unknown
    fit = fit_noise(frame, where)
    if fit is None or not fit.slope > CERTAIN * fit.error:
        return unknown
    return Gain(fit.slope, fit.error / fit.slope)
