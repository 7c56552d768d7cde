"""Candidates of atoms, the maxima of a filtered frame; their size and their noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.feature import peak_local_max
from skimage.transform import downscale_local_mean

from .._missing import Mask, missing_regions

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.intp]

# The filter's sigma in units of the atoms': slightly narrower than optimal for an isolated atom, or
# neighbours at 2.7 sigma would merge.
_FILTER = 0.9
_PRECISION = 1e-6
# Limits of an atom's sigma in px; it is also at most an eighth of the frame.
_SIGMA_MIN, _SIGMA_MAX, _N_SIGMAS = 0.8, 10.0, 14
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
    """Return the standard deviation of white noise, from the finest detail of a frame.

    Masked pixels and their neighbours are left out.
    """
    frame, known = np.ma.getdata(frame), pixels_with_data(frame)
    kernel = np.array([1.0, -2.0, 1.0])
    detail = ndimage.convolve1d(frame, kernel, axis=1)
    scale = np.sqrt(6.0)
    if len(frame) > 1:
        detail, scale = ndimage.convolve1d(detail, kernel, axis=0), 6.0
    # The median absolute value of a normal variable is 0.6745 standard deviations. The smallest
    # noise is that of single precision.
    least = _PRECISION * float(np.abs(frame).max())
    size = np.abs(detail)
    if known is not None:
        known = ndimage.binary_erosion(known, np.ones((3, 3)), border_value=1)
        size = size[known] if known.any() else np.zeros(1)
    return max(float(np.median(size) / 0.6745 / scale), least)


def pixels_with_data(frame: NDArray) -> NDArray[np.bool_] | None:
    """Return which pixels of a frame are not masked; None if none is."""
    if not isinstance(frame, np.ma.MaskedArray):
        return None
    mask = np.ma.getmaskarray(frame)
    return ~mask if mask.any() else None


class Spots(NamedTuple):
    """The significant maxima of a frame over places and sizes.

    Attributes
    ----------
    scale, height : ndarray of shape (n,)
        Standard deviation in px, and value of the scale-normalised Laplacian.
    place : ndarray of shape (n, 2)
        Position (y, x) in px.
    """

    scale: Float64Array
    height: Float64Array
    place: Float64Array


def find_spots(
    frames: Sequence[NDArray[np.float32]],
    significance: float,
    n_jobs: int | None = None,
    *,
    signs: Sequence[float] = (1,),
) -> list[list[Spots]]:
    """Find bright spots of any size, and dark ones, which are bright in the negative.

    Parameters
    ----------
    frames : sequence of ndarray of shape (H, W), float32
        Frames; masked ones lack data, and their values are filled ones.
    significance : float
        Least height in standard deviations of the noise.
    n_jobs : int, optional
        Number of frames processed at a time.
    signs : sequence of float, default=(1,)
        1 for bright spots, -1 for dark ones.

    Returns
    -------
    list
        For each sign, a list of the spots of each frame.
    """
    found = Parallel(n_jobs=n_jobs)(
        delayed(_spots_of_any_size)(frame, significance, signs) for frame in frames
    )
    return [list(of_sign) for of_sign in zip(*found, strict=True)]


def guess_sigma(spots: list[Spots]) -> float | None:
    """Return the atoms' sigma, the scale at which most significant maxima are strongest.

    A Gaussian's scale-normalised Laplacian is largest if the filter is as wide as the Gaussian.
    None if nothing is significant in any frame.
    """
    scale, height = (
        np.concatenate([getattr(s, name) for s in spots]) for name in Spots._fields[:2]
    )
    if len(scale) == 0:
        return None
    # A large blob that contains smaller, similarly strong ones is a cluster of atoms. The frames'
    # positions are shifted far apart, so that one tree holds all.
    apart = 10 * (max(s.place.max(initial=0) for s in spots) + _BINNING * _SIGMA_MAX)
    place = np.concatenate([s.place + np.array([i * apart, 0]) for i, s in enumerate(spots)])
    within = KDTree(place).query_ball_point(place, np.sqrt(2) * scale)
    alone = [
        not np.any((scale[others] < 0.7 * scale[i]) & (height[others] > 0.6 * height[i]))
        for i, others in enumerate(within)
    ]
    # The clearest are atoms, rather than grains of a supporting film.
    clearness = height * scale * alone
    return float(np.median(scale[clearness > 0.5 * np.quantile(clearness, 0.95)]))


def typical_height(spots: list[Spots]) -> float:
    """Return the height of the clearest spots of a frame, 0 without any: the median over frames."""
    heights = [np.quantile(s.height, 0.95) if len(s.height) else 0.0 for s in spots]
    return float(np.median(heights))


def _spots_of_any_size(
    frame: NDArray[np.float32], significance: float, signs: Sequence[float]
) -> list[Spots]:
    """Return the spots of a frame for each sign; wide ones are found in the binned frame.

    Spots in parts without data, which are masked, are left out.
    """
    known = pixels_with_data(frame)
    regions = None if known is None else missing_regions(~known)
    found = _spots_of_pixels(np.ma.getdata(frame), significance, signs)
    return found if regions is None else [_outside(spots, regions) for spots in found]


def _outside(spots: Spots, regions: Mask) -> Spots:
    """Return the spots that lie at least their own width outside of parts without data."""
    depth = ndimage.distance_transform_edt(~regions)
    place = np.rint(spots.place).astype(int).clip(0, np.array(regions.shape) - 1)
    kept = depth[tuple(place.T)] > spots.scale
    return Spots(spots.scale[kept], spots.height[kept], spots.place[kept])


def _spots_of_pixels(
    frame: NDArray[np.float32], significance: float, signs: Sequence[float]
) -> list[Spots]:
    sigmas = scales(frame.shape)
    spots = _find_spots(frame, sigmas, significance, signs)
    if max(frame.shape) < 8 * _SIGMA_MAX:
        return spots
    bins = np.minimum(_BINNING, frame.shape)
    height, width = frame.shape // bins * bins
    binned = downscale_local_mean(frame[:height, :width], tuple(bins)).astype(np.float32)
    wide = _find_spots(binned, scales(binned.shape), significance, signs)
    return [_joined(one, other, sigmas[-2], bins) for one, other in zip(spots, wide, strict=True)]


def _joined(spots: Spots, wide: Spots, most: float, bins: IntArray) -> Spots:
    """Return spots with those of a binned frame that are wider than the frame itself shows."""
    new = wide.scale * _BINNING > most
    return Spots(
        np.concatenate([spots.scale, wide.scale[new] * _BINNING]),
        np.concatenate([spots.height, wide.height[new]]),
        np.concatenate([spots.place, wide.place[new] * bins + (bins - 1) / 2]),
    )


def scales(shape: tuple[int, ...]) -> Float64Array:
    largest = max(min(_SIGMA_MAX, max(shape) / 8), 1.01 * _SIGMA_MIN)
    return np.geomspace(_SIGMA_MIN, largest, _N_SIGMAS)


def _find_spots(
    frame: NDArray[np.float32],
    sigmas: Float64Array,
    significance: float,
    signs: Sequence[float],
) -> list[Spots]:
    """Return the spots of a frame with these scales, for each sign."""
    # Centred, since the truncated filter does not remove a large offset exactly.
    pixels = frame.astype(float)
    pixels -= np.median(pixels)
    noise = white_noise(pixels)
    cube = np.stack([-(s**2) * ndimage.gaussian_laplace(pixels, s) for s in sigmas])
    return [_maxima(sign * cube, sigmas, significance * noise) for sign in signs]


def _maxima(cube: Float64Array, sigmas: Float64Array, least: float) -> Spots:
    peaks = peak_local_max(cube, exclude_border=False)
    scale, height = sigmas[peaks[:, 0]], cube[tuple(peaks.T)]
    # The standard deviation of the scale-normalised Laplacian of white noise.
    level = least / (scale * np.sqrt(2 * np.pi))
    # A maximum at an end of the scale may continue beyond it: a step, or structure of the film.
    inner = (peaks[:, 0] > 0) & (peaks[:, 0] < len(sigmas) - 1)
    clear = inner & (height > level)
    if clear.any():
        # Without noise every maximum is significant, so faint ones are left out.
        clear &= height > 0.02 * height[clear].max()
    return Spots(scale[clear], height[clear], peaks[clear, 1:].astype(float))
