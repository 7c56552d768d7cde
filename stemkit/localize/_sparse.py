"""Few atoms among many maxima of noise or of a supporting film, and how to tell them apart.

The maxima of a filtered frame are two populations: those of the noise and the film, whose heights
follow one law, and atoms, which exceed it. The law is fitted to the bulk of the frame's own maxima,
in units of the local spread of the filtered frame, so that it holds for noise that neighbouring
pixels share, for films, and where the noise changes across the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from ._peaks import atom_response, find_peaks, response_noise, white_noise

Float64Array = NDArray[np.float64]

# Side in sigma of the windows in which the spread is measured, and its least value in the median.
_WINDOW, _LEAST_SPREAD = 13.6, 0.3
# Values beyond this many standard deviations count as this many; times the spread is corrected.
_CLIP, _N_CORRECTIONS = 2.5, 4
_PER_MEDIAN = 1.4826
# Share of a normal distribution's variance that clipping leaves.
_CLIPPED_VARIANCE = float(
    1 - 2 * stats.norm.sf(_CLIP) - 2 * _CLIP * stats.norm.pdf(_CLIP)
    + 2 * _CLIP**2 * stats.norm.sf(_CLIP)
)  # fmt: skip
# Heights are compared with the law on a grid, in bins of this half width.
_GRID, _HALF_BIN = np.arange(2.0, 14.0, 0.05), 0.35
# The law is exp(-z^2 / scale). That of a Gaussian field has a scale of 2 in its tail, and 1.2 times
# as much between the median and the third quartile.
_LEAST_SCALE, _BULK = 1.9, 1.2
# Number of expected maxima of noise in a bin from which their share among the atoms counts.
_LEAST_EXPECTED = 0.25
# Times the law is fitted again without the maxima that are atoms.
_N_FITS = 2
# Least number of maxima to which a law is fitted, side of a frame in sigma that has them, and least
# number of wide maxima that may be those of noise.
LEAST_MAXIMA, _SIDE, _LEAST_WIDE = 100, 64.0, 8
# A frame is one of few atoms if its maxima are like those of a Gaussian field, in units of its
# spread: their median, the share of high ones, the depths of minima, and the excess kurtosis.
_MOST_MEDIAN, _HIGH, _MOST_HIGH, _LEAST_DEPTH, _LEAST_KURTOSIS = 1.8, 3.3, 0.18, 1.85, -0.25
# The greatest power of a frequency in that of its surroundings from which there is a lattice.
_LATTICE = 40.0
# How many times the white noise the spread is on a film, or if neighbouring pixels share noise.
_TEXTURED = 1.2


# Log-likelihood ratio of all atoms below which there may be none.
LEAST_CLEARNESS = 10.0


class Law(NamedTuple):
    """The law of the heights of maxima without atoms: ``number * exp(-z**2 / scale)`` exceed z."""

    number: float
    scale: float

    def above(self, z: NDArray) -> Float64Array:
        """Return the expected number of maxima above heights."""
        exceeding: Float64Array = self.number * np.exp(-(np.maximum(z, 0) ** 2) / self.scale)
        return exceeding


def local_spread(response: Float64Array, sigma: float) -> Float64Array:
    """Return the standard deviation of a filtered frame about each pixel, without its atoms."""
    away = response - np.median(response)
    spread = np.full(response.shape, _PER_MEDIAN * np.median(np.abs(away)))
    side = 2 * int(_WINDOW / 2 * sigma) + 1
    for _ in range(_N_CORRECTIONS):
        square = np.minimum(np.abs(away), _CLIP * spread) ** 2
        # Two box filters are nearly a Gaussian, and as fast for any width.
        smooth = ndimage.uniform_filter(ndimage.uniform_filter(square, side), side)
        spread = np.sqrt(np.maximum(smooth, 0) / _CLIPPED_VARIANCE)
        spread = np.maximum(spread, _LEAST_SPREAD * np.median(spread))
    return spread


def significance(frame: Float64Array, sigma: float) -> tuple[Float64Array, Float64Array]:
    """Return a filtered frame in units of its local spread, and that spread."""
    response = atom_response(frame, sigma)
    spread = local_spread(response, sigma)
    scale = np.where(spread > 0, spread, np.inf)
    return (response - np.median(response)) / scale, spread


def maxima(significance: Float64Array) -> Float64Array:
    """Return the sorted heights of the maxima."""
    return np.sort(significance[tuple(find_peaks(significance, -np.inf).T)])


def split(heights: Float64Array) -> tuple[float, Law]:
    """Return the height above which most maxima are atoms, and the law of the others.

    Parameters
    ----------
    heights : ndarray of shape (n,)
        Sorted heights in units of the local spread.

    Returns
    -------
    float
        Where half of the maxima are atoms. Without atoms, a quarter of a maximum is expected about
        this height.
    Law
    """
    weights = np.ones(len(heights))
    for _ in range(_N_FITS):
        law = _fit_law(heights, weights)
        expected = law.above(_GRID - _HALF_BIN) - law.above(_GRID + _HALF_BIN)
        found = np.searchsorted(heights, _GRID + _HALF_BIN)
        found -= np.searchsorted(heights, _GRID - _HALF_BIN)
        noise = np.flatnonzero((expected >= _LEAST_EXPECTED) & (expected > 0.5 * found))
        threshold = float(_GRID[noise[-1] if len(noise) else 0])
        share = np.divide(expected, found, out=np.zeros(len(_GRID)), where=found > 0)
        of_noise = np.interp(heights, _GRID, share).clip(0, 0.5)
        weights = np.where(heights > threshold, of_noise, 1.0)
    return threshold, law


def _fit_law(heights: Float64Array, weights: Float64Array) -> Law:
    """Fit a law to quantiles of sorted heights."""
    total = np.cumsum(weights)
    median, third, high = np.interp(
        np.array([0.5, 0.75, 0.9]) * total[-1], total - 0.5 * weights, heights
    ).clip(0)
    tail = (high**2 - median**2) / np.log(5)
    bulk = (third**2 - median**2) / np.log(2) / _BULK
    # Atoms may be more than a tenth of the maxima, hardly a quarter.
    scale = max(_LEAST_SCALE, min(tail, bulk))
    return Law(float(total[-1] * 0.25 * np.exp(third**2 / scale)), float(scale))


class LocalThreshold(NamedTuple):
    """The minimum amplitude of an atom at each place.

    Attributes
    ----------
    significance : float
        In units of the local spread of the filtered frame.
    least : float, default=0
        In the frame's unit.
    fitted_share : float, default=1
        Share of it that the amplitude must have after the fit, where the film counts as background.
    """

    significance: float
    least: float = 0.0
    fitted_share: float = 1.0

    def over(self, frame: Float64Array, sigma: float) -> Float64Array:
        """Return the minimum height of a maximum of the filtered frame, for each pixel."""
        response = atom_response(frame, sigma)
        limit = np.median(response) + self.significance * local_spread(response, sigma)
        return np.maximum(limit, self.least)


class Frame(NamedTuple):
    """What kind of frame it is: ``sparse``, of few atoms, and on a film or ``textured``."""

    sparse: bool
    textured: bool


def examine(frame: Float64Array, sigma: float) -> Frame:
    """Tell whether a frame holds few atoms, and a film or noise that neighbours share.

    It is filtered for a size at which it has enough maxima; if atoms may be wider, they must be few
    at that size, too.
    """
    narrow = min(sigma, np.sqrt(frame.size) / _SIDE)
    if min(frame.shape) < _SIDE:
        return Frame(sparse=False, textured=False)
    response = atom_response(frame, narrow)
    response -= np.median(response)
    spread = _PER_MEDIAN * np.median(np.abs(response))
    noise = white_noise(frame) * response_noise(narrow)
    if spread <= 0 or noise <= 0:
        return Frame(sparse=False, textured=False)
    textured = spread > _TEXTURED * noise
    sparse = (
        _is_of_few(response, LEAST_MAXIMA)
        and stats.kurtosis(response, axis=None) > _LEAST_KURTOSIS
        and not _has_lattice(response, narrow)
        and (narrow == sigma or _is_of_few(atom_response(frame, sigma), _LEAST_WIDE))
    )
    return Frame(bool(sparse), bool(textured))


def _is_of_few(response: Float64Array, least: int) -> bool:
    """Return whether the maxima of a filtered frame are about as high as those of noise."""
    response = response - np.median(response)
    spread = _PER_MEDIAN * np.median(np.abs(response))
    bright, dark = (maxima(sign * response) / spread for sign in (1, -1))
    return bool(
        min(len(bright), len(dark)) >= least
        and np.median(bright) < _MOST_MEDIAN
        and np.mean(bright > _HIGH) < _MOST_HIGH
        and np.quantile(dark, 0.95) > _LEAST_DEPTH
    )


def _has_lattice(response: Float64Array, sigma: float) -> bool:
    """Return whether single frequencies stand out of the spectrum of a filtered frame."""
    window = np.hanning(response.shape[0])[:, np.newaxis] * np.hanning(response.shape[1])
    power = np.abs(np.fft.rfft2(response * window)) ** 2
    power = np.fft.fftshift(power, axes=0)
    # Slow variations and rows have narrow peaks, too, at a low frequency in one direction.
    fy = np.fft.fftshift(np.fft.fftfreq(response.shape[0]))[:, np.newaxis]
    fx = np.fft.rfftfreq(response.shape[1])
    around = ndimage.median_filter(power, 15)
    at = (np.abs(fy) > 4 / response.shape[0]) & (fx > 4 / response.shape[1])
    at &= np.hypot(fy, fx) < 0.35 / sigma
    return bool(at.any() and np.max(power[at] / np.maximum(around[at], 1e-300)) > _LATTICE)


def size_of_few(frames: Sequence[Float64Array], sigmas: Float64Array) -> float | None:
    """Return the sigma at which atoms exceed the other maxima most clearly; None without atoms.

    The filter that tells atoms best depends on the film, so the size is that of the mean of all
    atoms that it finds.
    """
    found = [[find_few(frame, sigma) for frame in frames] for sigma in sigmas]
    clearness = np.array([sum(c for c, _ in of_frames) for of_frames in found])
    # An end of the scale may be that of noise in single pixels, or of the film's own structure.
    inner = (
        np.flatnonzero((clearness[1:-1] >= clearness[:-2]) & (clearness[1:-1] >= clearness[2:])) + 1
    )
    if not len(inner) or clearness[inner].max() < LEAST_CLEARNESS:
        return None
    best = inner[np.argmax(clearness[inner])]
    places = [p for _, p in found[best]]
    return _size_of_mean(frames, places, float(sigmas[best]))


def find_few(frame: Float64Array, sigma: float) -> tuple[float, NDArray[np.intp]]:
    """Return the log-likelihood ratio of all atoms of a size, and their pixels (n, 2)."""
    high, _ = significance(frame, sigma)
    peaks = find_peaks(high, -np.inf)
    heights = high[tuple(peaks.T)]
    if len(heights) < LEAST_MAXIMA:
        return 0.0, peaks[:0]
    threshold, law = split(np.sort(heights))
    atoms = heights > threshold
    return float(np.sum(heights[atoms] ** 2 - threshold**2) / law.scale), peaks[atoms]


def _size_of_mean(
    frames: Sequence[Float64Array], places: Sequence[NDArray[np.intp]], sigma: float
) -> float:
    """Fit a Gaussian on a constant to the mean of all atoms, within 2.2 sigma."""
    reach = int(np.ceil(2.2 * sigma))
    y, x = np.indices((2 * reach + 1,) * 2) - reach
    square = (y**2 + x**2).astype(float)
    inside = square <= (2.2 * sigma) ** 2
    cut = [
        frame[a - reach : a + reach + 1, b - reach : b + reach + 1][inside]
        for frame, of_frame in zip(frames, places, strict=True)
        for a, b in of_frame
        if reach <= a < frame.shape[0] - reach and reach <= b < frame.shape[1] - reach
    ]
    if not cut:
        return sigma
    mean = np.mean(cut, axis=0)
    tried = np.geomspace(0.6 * sigma, 1.6 * sigma, 25)

    def misfit(size: float) -> float:
        drawn = np.exp(-square[inside] / (2 * size**2))
        design = np.stack([drawn, np.ones_like(drawn)], axis=1)
        return float(np.sum((design @ np.linalg.lstsq(design, mean, rcond=None)[0] - mean) ** 2))

    return float(tried[np.argmin([misfit(size) for size in tried])])
