"""Amplitude of each band of spatial frequency in each frame, from products of frames."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Standard errors from which structure is certain, and the largest standard error of a decay that
# still tells something.
_CERTAIN, _MOST_ERROR = 5.0, 0.5
# Relative error of the noise level that is taken off the first frame's power.
_NOISE_ERROR = 0.1
_ITERATIONS = 40


class MeasuredBands(NamedTuple):
    """Decays of all bands with their errors, and which bands have structure.

    Attributes
    ----------
    decay, stderr : ndarray of shape (n_frames, n_bands)
        Relative to the first frame.
    own_stderr : ndarray of shape (n_frames, n_bands)
        Without the error of the first frame.
    noise_stderr : ndarray of shape (n_frames, n_bands)
        From noise alone: that of the places in view, which may have faded differently.
    deviations : ndarray of shape (n_tiles, n_frames, n_bands)
        Of the decay without each tile.
    told : ndarray of shape (n_bands,), bool
        Which bands have structure that can be followed.
    """

    decay: NDArray[np.float64]
    stderr: NDArray[np.float64]
    own_stderr: NDArray[np.float64]
    noise_stderr: NDArray[np.float64]
    deviations: NDArray[np.float64]
    told: NDArray[np.bool_]


def measure_bands(
    products: NDArray[np.float64],
    noise: NDArray[np.float64],
    modes: NDArray[np.float64],
    dependence: NDArray[np.float64],
) -> MeasuredBands:
    """Return the decay of each band and its errors.

    Parameters
    ----------
    products : ndarray of shape (n_tiles, n_bands, n_frames, n_frames)
        Of frames with each other, over each tile.
    noise, modes : ndarray of shape (n_bands,)
        Product of a frame's noise with itself, and in how many independent numbers.
    dependence : ndarray of shape (n_bands,)
        By how much the scatter of tiles is too small.
    """
    unit = np.maximum(products[..., 0, 0].sum(axis=0), np.finfo(float).tiny)
    products, noise = products / unit[:, None, None], noise / unit
    total, share = products.sum(axis=0), 1 - 1 / len(products)
    without = total - products
    amplitudes, others = _by_first(total, noise), _by_first(without, share * noise)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        by_noise = _error_of_noise(amplitudes, noise / modes, noise, by_first=True)
        if total.shape[-1] > 2:
            # Later frames measure the structure of the first without a model of its noise, unless
            # nothing is left in them.
            found = _by_others(total)
            error = _error_of_noise(found, noise / modes, noise)
            left_out = _by_others(without)
            sure = ((found[:, 0] > 0) & (_CERTAIN * error[:, 0] < 1))[:, None]
            amplitudes, by_noise = (
                np.where(sure, found, amplitudes),
                np.where(sure, error, by_noise),
            )
            others = np.where(sure, left_out, others)
        amplitudes, by_noise, without = amplitudes.T, by_noise.T, np.swapaxes(others, -1, -2)
        decay = amplitudes / amplitudes[0]
        deviations = dependence * (without / without[:, :1] - decay)
        # Relative to all frames, the first has an error of its own.
        alike = without / np.linalg.norm(without, axis=1, keepdims=True)
        alike *= np.linalg.norm(amplitudes, axis=0) / amplitudes[0]
        own = np.maximum(dependence * _jackknife(alike), by_noise)
        of_ratio = np.hypot(by_noise, decay * by_noise[0])
        stderr = np.maximum(_jackknife(deviations), of_ratio)
    stderr[0] = 0
    told = np.isfinite(deviations).all(axis=(0, 1)) & np.isfinite(stderr).all(axis=0)
    told &= (amplitudes[0] > 0) & (_CERTAIN * by_noise[0] < 1)
    told &= stderr[1:].min(axis=0) < _MOST_ERROR
    decay[1:, ~told] = np.nan
    stderr[1:, ~told] = own[:, ~told] = np.inf
    return MeasuredBands(decay, stderr, own, of_ratio, deviations, told)


def _by_others(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return amplitudes a of products a_j a_k of frames j and k, (..., n_bands, n_frames).

    Products of a frame with itself, which hold its noise, are left out.
    """
    others = products * (1 - np.eye(products.shape[-1]))
    found = products[..., 0].copy()
    found[..., 0] = np.abs(found[..., 1:]).max(axis=-1)
    for _ in range(_ITERATIONS):
        square = found**2
        rest = square.sum(axis=-1, keepdims=True) - square
        target = (others @ found[..., None])[..., 0]
        found = 0.5 * (found + target / np.maximum(rest, 1e-30))
    return found


def _by_first(products: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return amplitudes from products with the first frame, whose noise is known."""
    first = np.sqrt(np.maximum(products[..., 0, 0] - noise, 1e-30))[..., None]
    return np.concatenate([first, products[..., 0, 1:] / first], axis=-1)


def _error_of_noise(
    amplitudes: NDArray[np.float64],
    noise: NDArray[np.float64],
    total: NDArray[np.float64],
    *,
    by_first: bool = False,
) -> NDArray[np.float64]:
    """Return standard errors from noise alone, (n_bands, n_frames), relative to the first frame.

    They have the noise of a frame times the structure of others, of these, and times their noise.
    ``noise`` is the power of one number, ``total`` that of all.
    """
    square = amplitudes**2
    rest = np.maximum(square.sum(axis=1, keepdims=True) - square, 1e-30)
    if by_first:
        rest = np.broadcast_to(square[:, :1], square.shape)
    variance = noise[:, None] * (1 + (square + total[:, None]) / rest)
    if by_first:
        variance[:, 0] += (_NOISE_ERROR * total) ** 2 / (4 * square[:, 0])
    return np.sqrt(variance) / amplitudes[:, :1]


def _jackknife(leave_one_out: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt((len(leave_one_out) - 1) * leave_one_out.var(axis=0))
