"""The search for the atoms of a frame: maxima, fits, and what they leave unexplained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from .._bad_pixels import fill
from .._missing import Mask, missing_regions
from ._fit import fit_atoms, fit_coarsely
from ._peaks import atom_response, find_peaks, pixels_with_data, response_noise
from ._sparse import LocalThreshold
from ._windows import Atoms, Float64Array

# Standard deviations of the noise at which a maximum counts as an atom: white noise reaches it a
# few times in a frame of 256 x 256 px.
SIGNIFICANCE = 4.0
# Minimum amplitude in standard errors.
_MIN_CERTAINTY = 2.0
# Maxima below this share of the brightest are left to a later round.
_RELATIVE = 0.4
# Number of fits of a frame, each of which adds atoms found in the residual of the one before.
_ROUNDS = 5
# In sigma: nearer to an atom than this, a maximum of the residual is misfit and not a new atom.
_NEW = 1.2


def center(frame: NDArray[np.float32]) -> tuple[Float64Array, float]:
    """Return the frame minus its median, to keep the precision of squares, and the median."""
    values = np.ma.getdata(frame).astype(float)
    offset = float(np.median(values))
    return like(frame, values - offset), offset


def like(frame: NDArray, values: NDArray) -> NDArray:
    """Return values with the mask of a frame, whose own arithmetic leaves masked values out."""
    return np.ma.MaskedArray(values, frame.mask) if isinstance(frame, np.ma.MaskedArray) else values


def unexplained(pixels: Float64Array, atoms: Atoms) -> Float64Array:
    """Return a frame minus its atoms; where it lacks data, what its neighbours have left."""
    residual = np.ma.getdata(pixels) - atoms.draw(pixels.shape)
    known = pixels_with_data(pixels)
    return residual if known is None else fill(residual.astype(np.float32), ~known).astype(float)


def regions_without_data(frame: NDArray[np.float32]) -> Mask | None:
    """Return the parts of a frame without data, which are masked; None if there are none."""
    known = pixels_with_data(frame)
    regions = None if known is None else missing_regions(~known)
    return regions if regions is not None and regions.any() else None


def _near_data(peaks: NDArray, regions: Mask | None, sigma: float) -> NDArray:
    """Return the places (n, 2) that are at most one sigma from data, whose atoms are seen there."""
    if regions is None:
        return peaks
    return peaks[ndimage.distance_transform_edt(regions)[tuple(peaks.T)] <= sigma]


def fit_brightest(frame: NDArray[np.float32], sigma: float, threshold: float) -> Atoms:
    """Fit the brightest atoms of a frame coarsely."""
    pixels, _ = center(frame)
    regions = regions_without_data(frame)
    response = atom_response(np.ma.getdata(pixels), sigma)
    peaks = find_peaks(response, max(threshold, _RELATIVE * np.quantile(response, 0.999)))
    peaks = _near_data(peaks, regions, sigma)
    start = Atoms.at(peaks, response[tuple(peaks.T)], sigma)
    atoms, _ = fit_coarsely(pixels, start, sigma)
    return atoms.take(_significant(atoms, threshold) & _inside(atoms, pixels.shape, regions))


def locate(frame: NDArray[np.float32], sigma: float, threshold: float | LocalThreshold) -> Atoms:
    """Find and fit the atoms of one frame."""
    pixels, offset = center(frame)
    regions = regions_without_data(frame)
    residual, noise = np.ma.getdata(pixels), np.zeros(pixels.shape)
    if isinstance(threshold, LocalThreshold):
        limit, share = threshold.over(residual, sigma), threshold.fitted_share
    else:
        limit, share = np.broadcast_to(np.float64(threshold), pixels.shape), 1.0
    atoms = Atoms.at(np.empty((0, 2)), np.empty(0), sigma)
    for _ in range(_ROUNDS):
        response = atom_response(residual, sigma)
        peaks = _near_data(find_peaks(response, float(limit.min())), regions, sigma)
        height = response[tuple(peaks.T)]
        # Bright areas have more noise.
        new = height > np.maximum(limit, SIGNIFICANCE * noise)[tuple(peaks.T)]
        if len(atoms):
            known = np.stack([atoms.y, atoms.x], axis=1)
            new &= KDTree(known).query(peaks)[0] > _NEW * sigma
            # Only the brightest, since the misfit of neighbours around a missed atom has maxima.
            new &= height >= _RELATIVE * height[new].max(initial=0.0)
        if not new.any():
            break
        candidates = Atoms.at(peaks[new], height[new], sigma)
        atoms, variance = fit_coarsely(pixels, atoms.join(candidates), sigma)
        atoms = atoms.take(_significant(atoms, share * _at(limit, atoms)))
        residual = unexplained(pixels, atoms)
        noise = np.sqrt(ndimage.gaussian_filter(variance, sigma)) * response_noise(sigma)
    for _ in range(_ROUNDS):
        atoms = fit_atoms(pixels, atoms, sigma)
        kept = _significant(atoms, share * _at(limit, atoms)) & ~_merged(atoms, sigma)
        atoms = atoms.take(kept)
        if kept.all():
            break
    # Atoms just outside the border were kept until here, since they contribute to the frame.
    atoms = atoms.take(_inside(atoms, pixels.shape, regions))
    atoms.background += offset
    return atoms


def _at(image: Float64Array, atoms: Atoms) -> Float64Array:
    """Return the values of an image at the pixels nearest to atoms."""
    place = np.rint([atoms.y, atoms.x]).astype(int)
    values: Float64Array = image[tuple(place.clip(0, np.array(image.shape)[:, np.newaxis] - 1))]
    return values


def _significant(atoms: Atoms, threshold: float | Float64Array) -> NDArray[np.bool_]:
    certain = atoms.amplitude >= _MIN_CERTAINTY * atoms.amplitude_err
    return certain & (atoms.amplitude >= threshold)


def _merged(atoms: Atoms, sigma: float) -> NDArray[np.bool_]:
    """Return a mask of atoms that have moved onto a brighter one."""
    pairs = KDTree(np.stack([atoms.y, atoms.x], axis=1)).query_pairs(
        _NEW * sigma, output_type="ndarray"
    )
    fainter = np.zeros(len(atoms), dtype=bool)
    fainter[pairs[np.arange(len(pairs)), np.argmin(atoms.amplitude[pairs], axis=1)]] = True
    return fainter


def _inside(atoms: Atoms, shape: tuple[int, ...], regions: Mask | None = None) -> NDArray[np.bool_]:
    """Return a mask of atoms in a frame, and outside of its parts without data."""
    height, width = shape
    inside = (np.abs(atoms.y - (height - 1) / 2) <= height / 2) & (
        np.abs(atoms.x - (width - 1) / 2) <= width / 2
    )
    if regions is not None:
        place = np.rint([atoms.y, atoms.x]).astype(int)
        place = place.clip(0, np.array(shape)[:, np.newaxis] - 1)
        inside &= ~regions[tuple(place)]
    return inside
