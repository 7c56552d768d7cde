"""Bring frames to the scale of a network's training frames, and dots back to theirs."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy import ndimage
from skimage.transform import downscale_local_mean

from .._arrays import Float32Array, rescale_to_float32
from .._frame_statistics import noise_level

Bins = tuple[int, ...]

# Side in px of the blocks whose dark pixels show slow changes of brightness, and the least number
# of them along each side of a frame.
_BLOCK = 16
_MIN_BLOCKS = 4
# Dark pixels of a block lie between atoms.
_DARK_SHARE = 0.1
# Least change over the frame, in standard deviations of the noise, for polynomials of each degree.
# Films with clusters, as those of the training, have less.
_SLOW_CHANGES = {1: 12.0, 2: 20.0, 3: 30.0}
_ITERATIONS = 4


def bin_mean(frame: NDArray, bins: Bins) -> NDArray:
    """Return means of blocks of pixels; a frame that they don't fill is mirrored at its end."""
    padding = [(0, -n % b) for n, b in zip(frame.shape, bins, strict=True)]
    return downscale_local_mean(np.pad(frame, padding, mode="symmetric"), bins)


def enlarge(dots: Float32Array, bins: Bins, shape: tuple[int, ...]) -> Float32Array:
    """Interpolate the result for a binned frame to the pixels of the frame."""
    enlarged = ndimage.zoom(dots, bins, order=1, mode="nearest", grid_mode=True)
    return enlarged[: shape[0], : shape[1]]


def scale_noise(frame: NDArray, offset: float, noise: float, rounding: float) -> Float32Array:
    """Return a frame that varies about 0 with this noise and offset, constant if it has none."""
    found = noise_level(frame)
    # Below this only rounding errors of a constant frame remain.
    scale = noise / found if found > rounding else 0.0
    return (offset + scale * frame).astype(np.float32)


def match_frame(frame: Float32Array, bins: Bins, background: float, noise: float) -> Float32Array:
    """Bin a frame, and scale it to a median and a noise level, whatever its unit.

    A background that changes over the frame by many times the noise is subtracted.
    """
    rescaled, _ = rescale_to_float32(frame)
    binned = bin_mean(rescaled - float(np.median(rescaled)), bins)
    # An offset of the detector is rounded to float32 with the frame.
    rounding = 1e-6 * float(np.abs(rescaled).max())
    return scale_noise(binned - slow_background(binned), background, noise, rounding)


def slow_background(frame: NDArray) -> NDArray:
    """Return the slow change of a frame's brightness; 0 if it is not far above the noise.

    A plane, and then polynomials of second and third order, are fitted to the dark pixels of blocks
    and taken if they add many times the noise. Less may belong to the specimen.
    """
    blocks = [n // _BLOCK for n in frame.shape]
    slow = 0 * frame
    if min(blocks) < _MIN_BLOCKS:
        return slow
    shape = (blocks[0], _BLOCK, blocks[1], _BLOCK)
    height, width = shape[0] * _BLOCK, shape[2] * _BLOCK
    tiles = frame[:height, :width].reshape(shape).swapaxes(1, 2)
    dark = np.quantile(tiles, _DARK_SHARE, axis=(2, 3)).ravel()
    noise = noise_level(frame)
    for degree, least in _SLOW_CHANGES.items():
        terms = _polynomials(frame.shape, degree)
        at_blocks = terms[:, :height, :width].reshape(len(terms), *shape).mean((2, 4))
        fitted = np.tensordot(_robust_fit(at_blocks.reshape(len(terms), -1), dark), terms, 1)
        if np.ptp(fitted - slow) > least * noise:
            slow = fitted
    return slow


def _polynomials(shape: tuple[int, ...], degree: int) -> NDArray:
    """Return the products of Legendre polynomials up to a degree, (n_terms, H, W)."""
    y, x = (legendre.legvander(np.linspace(-1, 1, n), degree).T for n in shape)
    return np.stack(
        [np.outer(y[i], x[j]) for i in range(degree + 1) for j in range(degree + 1 - i)]
    )


def _robust_fit(terms: NDArray, values: NDArray) -> NDArray:
    """Return the factors of terms (n_terms, n) that fit values, without outliers."""
    weights: NDArray = np.ones(len(values))
    factors = np.zeros(len(terms))
    for _ in range(_ITERATIONS):
        factors = np.linalg.lstsq((terms * weights).T, values * weights, rcond=None)[0]
        residual = values - factors @ terms
        spread = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
        weights = 1 / np.sqrt(1 + (residual / (2 * spread + 1e-30)) ** 2)
    return factors
