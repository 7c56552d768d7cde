"""Candidates of atoms, the maxima of a filtered frame; their size and their noise."""

from __future__ import annotations

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.feature import peak_local_max
from skimage.transform import downscale_local_mean

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.intp]

# The filter's sigma in units of the atoms': slightly narrower than optimal for an isolated atom, or
# neighbours at 2.7 sigma would merge.
_FILTER = 0.9
_PRECISION = 1e-6
# Limits of an atom's sigma in px; it is also at most an eighth of the frame.
_SIGMA_MIN, _SIGMA_MAX, _N_SIGMAS = 0.8, 10.0, 14
# Standard deviations of the noise of spots that show the polarity.
_CLEAR = 6.0
_MIN_SIDE = 16
# Atoms that are wider are looked for in binned frames.
_BINNING = 4


def atom_response(frame: Float64Array, sigma: float) -> Float64Array:
    """Return for each pixel the amplitude of an isolated atom at that place.

    It is the negative Laplacian of Gaussian, which removes the background and its slope.
    """
    width = _FILTER * sigma
    at_center = 2 * sigma**2 / (sigma**2 + width**2) ** 2
    return -ndimage.gaussian_laplace(frame, width, mode="nearest") / at_center


def find_peaks(response: Float64Array, threshold: float) -> IntArray:
    """Return the pixels (n, 2) of the maxima above a threshold, from top left to bottom right."""
    peaks = peak_local_max(response, threshold_abs=threshold, exclude_border=False)
    # Sorted by place, since the order of equal heights would be arbitrary.
    return peaks[np.lexsort(peaks.T[::-1])]


def response_noise(sigma: float) -> float:
    """Return the standard deviation of the response to white noise of standard deviation 1."""
    radius = int(np.ceil(4 * _FILTER * sigma)) + 1
    impulse = np.zeros((2 * radius + 1, 2 * radius + 1))
    impulse[radius, radius] = 1.0
    return float(np.sqrt((atom_response(impulse, sigma) ** 2).sum()))


def white_noise(frame: Float64Array) -> float:
    """Return the standard deviation of white noise, from the finest detail of a frame."""
    kernel = np.array([1.0, -2.0, 1.0])
    detail = ndimage.convolve1d(frame, kernel, axis=1)
    scale = np.sqrt(6.0)
    if len(frame) > 1:
        detail, scale = ndimage.convolve1d(detail, kernel, axis=0), 6.0
    # The median absolute value of a normal variable is 0.6745 standard deviations. The smallest
    # noise is that of single precision.
    least = _PRECISION * float(np.abs(frame).max())
    return max(float(np.median(np.abs(detail)) / 0.6745 / scale), least)


def guess_sigma(
    frames: NDArray[np.float32], significance: float, n_jobs: int | None = None
) -> float | None:
    """Return the atoms' sigma, the scale at which most significant maxima are strongest.

    A Gaussian's scale-normalised Laplacian is largest if the filter is as wide as the Gaussian.
    None if nothing is significant.
    """
    largest = max(min(_SIGMA_MAX, max(frames.shape[1:]) / 8), 1.01 * _SIGMA_MIN)
    sigmas = np.geomspace(_SIGMA_MIN, largest, _N_SIGMAS)
    found = Parallel(n_jobs=n_jobs)(
        delayed(_find_blobs_of_any_size)(frame, sigmas, significance) for frame in frames
    )
    scales, heights, places = zip(*found, strict=True)
    scale, height = np.concatenate(scales), np.concatenate(heights)
    if len(scale) == 0:
        return None
    # A large blob that contains smaller, similarly strong ones is a cluster of atoms. The frames'
    # positions are shifted far apart, so that one tree holds all.
    apart = 10 * (frames.shape[1] + _BINNING * _SIGMA_MAX)
    place = np.concatenate([at + np.array([index * apart, 0]) for index, at in enumerate(places)])
    within = KDTree(place).query_ball_point(place, np.sqrt(2) * scale)
    alone = [
        not np.any((scale[others] < 0.7 * scale[i]) & (height[others] > 0.6 * height[i]))
        for i, others in enumerate(within)
    ]
    # The clearest are atoms, rather than grains of a supporting film.
    clearness = height * scale * alone
    return float(np.median(scale[clearness > 0.5 * np.quantile(clearness, 0.95)]))


def blob_height(frame: NDArray[np.float32]) -> float:
    """Return the height of the clearest bright spots of a frame; 0 if there are none."""
    if min(frame.shape) < _MIN_SIDE:
        return 0.0
    largest = max(min(_SIGMA_MAX, max(frame.shape) / 8), 1.01 * _SIGMA_MIN)
    scale, height, _ = _find_blobs_of_any_size(
        frame, np.geomspace(_SIGMA_MIN, largest, _N_SIGMAS), _CLEAR
    )
    return float(np.quantile(height, 0.95)) if len(scale) else 0.0


def _find_blobs_of_any_size(
    frame: NDArray[np.float32], sigmas: Float64Array, significance: float
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return scale, height and place of the significant maxima of a frame, also of wide ones."""
    scale, height, place = _find_blobs(frame, sigmas, significance)
    if max(frame.shape) < 8 * _SIGMA_MAX:
        return scale, height, place.astype(float)
    bins = tuple(min(_BINNING, n) for n in frame.shape)
    height_of_frame, width = (n // b * b for n, b in zip(frame.shape, bins, strict=True))
    binned = downscale_local_mean(frame[:height_of_frame, :width], bins).astype(np.float32)
    largest = max(min(_SIGMA_MAX, max(binned.shape) / 8), 1.01 * _SIGMA_MIN)
    wide, wide_height, wide_place = _find_blobs(
        binned, np.geomspace(_SIGMA_MIN, largest, _N_SIGMAS), significance
    )
    # Those that both see are taken from the frame itself.
    new = wide * _BINNING > sigmas[-2]
    return (
        np.concatenate([scale, wide[new] * _BINNING]),
        np.concatenate([height, wide_height[new]]),
        np.concatenate([place, wide_place[new] * np.array(bins) + (np.array(bins) - 1) / 2]),
    )


def _find_blobs(
    frame: NDArray[np.float32], sigmas: Float64Array, significance: float
) -> tuple[Float64Array, Float64Array, IntArray]:
    """Return scale, height and place of the significant maxima of a frame."""
    # Centred, since the truncated filter does not remove a large offset exactly.
    pixels = frame.astype(float)
    pixels -= np.median(pixels)
    noise = white_noise(pixels)
    cube = np.stack([-(s**2) * ndimage.gaussian_laplace(pixels, s) for s in sigmas])
    peaks = peak_local_max(cube, exclude_border=False)
    scale, height = sigmas[peaks[:, 0]], cube[tuple(peaks.T)]
    # The standard deviation of the scale-normalised Laplacian of white noise.
    level = noise / (scale * np.sqrt(2 * np.pi))
    # A maximum at an end of the scale may continue beyond it: a step, or structure of the film.
    inner = (peaks[:, 0] > 0) & (peaks[:, 0] < len(sigmas) - 1)
    clear = inner & (height > significance * level)
    if clear.any():
        # Without noise every maximum is significant, so faint ones are left out.
        clear &= height > 0.02 * height[clear].max()
    return scale[clear], height[clear], peaks[clear, 1:]
