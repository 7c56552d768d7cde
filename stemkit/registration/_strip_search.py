"""Displacements of strips of a frame against a reference, with their probabilities.

The strips of a frame are recorded one after the other, while the specimen moves. For each strip and
each displacement, the log-likelihood that it shows the reference there is computed, for Gaussian
specimens and noise of known power spectra. Forward and backward sums over the strips then give the
probability of each displacement if the specimen moves by little from strip to strip.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from .._frame_statistics import noise_level

Float64Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Height of a strip, and distance of their first rows, in px.
HEIGHT, STEP = 8, 4
# Noise proportional to the signal's power: what a strip's displacement does not explain, and errors
# of position of this standard deviation in px, by the bending of a strip and the steps of the grid.
_UNEXPLAINED, _ERROR = 1.0, 1.5
# Standard deviation of the displacement between neighbouring strips in px, and the probability that
# they have nothing to do with each other.
_STEP_SIGMA, _JUMP = 0.7, 1e-9
# A probability is that of all displacements that are at most so many px from the likeliest.
_NEAR = 2
_RIM = 16
# Rows and columns along the borders of the reference that its filters do not reach well.
_BORDER = 4
_LEAST = -300.0


class Reference(NamedTuple):
    """An image that strips are compared with.

    Attributes
    ----------
    image : ndarray of shape (H, W)
        Its values, without their slow changes.
    mask : ndarray of shape (H, W), bool
        Where it holds data.
    noise : float
        Variance of its noise.
    offset : tuple of int
        Row and column of the point (0, 0) of the specimen.
    """

    image: Float64Array
    mask: Mask
    noise: float
    offset: tuple[int, int]


class Strips(NamedTuple):
    """Displacements of the strips of a frame.

    Attributes
    ----------
    row : ndarray of shape (n_strips,)
        Middle of each strip.
    displacement, stderr : ndarray of shape (n_strips, 2)
        (dy, dx) in px from the specimen to the frame, and its standard error.
    probability : ndarray of shape (n_strips,)
        Probability of being no further off than 2 px.
    """

    row: NDArray
    displacement: Float64Array
    stderr: Float64Array
    probability: Float64Array


def noise_variance(frame: NDArray) -> float:
    """Return the variance of white noise; never 0, so that it can divide."""
    least = 1e-6 * float(np.var(frame)) + float(np.finfo(np.float32).tiny)
    return max(noise_level(frame) ** 2, least)


def find_strips(
    frame: Float64Array,
    reference: Reference,
    center: NDArray[np.int64],
    reach: int,
    path: Float64Array | None = None,
) -> Strips:
    """Find the displacement of each strip of a frame.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        A frame without its slow changes of intensity.
    reference : Reference
        The image that it is compared with.
    center : ndarray of shape (2,)
        Middle (dy, dx) of the displacements to try, in px.
    reach : int
        Largest distance from it along each axis, in px.
    path : ndarray of shape (H, 2), optional
        Displacement of each row as far as it is known. The rows of a strip are shifted by what
        they differ from each other.

    Returns
    -------
    Strips
    """
    likelihood = np.stack(list(_log_likelihoods(frame, reference, center, reach, path)))
    # Strips overlap, and each row must be counted once.
    posterior = _smooth(likelihood * (STEP / HEIGHT))
    rows = np.arange(len(posterior)) * STEP + (HEIGHT - 1) / 2
    found = [_summarise(p, reach) for p in posterior]
    displacement, stderr, probability = (np.array(values) for values in zip(*found, strict=True))
    return Strips(rows, displacement + center, stderr, probability)


def _log_likelihoods(
    frame: Float64Array,
    reference: Reference,
    center: NDArray[np.int64],
    reach: int,
    path: Float64Array | None,
) -> Iterator[Float64Array]:
    """Yield the logarithm of the likelihood ratio of each displacement to no relation at all."""
    own, other = noise_variance(frame), reference.noise
    _, frame_power, _, constant = _filters(frame, None, own, other)
    inner = ndimage.binary_erosion(np.pad(reference.mask, 1), iterations=_BORDER)[1:-1, 1:-1]
    # Nothing to compare with, in a tiny reference.
    cross, _, reference_power, _ = _filters(reference.image, reference.mask, own, other)
    images = [cross * inner, reference_power * inner, inner.astype(float)]
    far = int(np.abs(center).max()) + reach + HEIGHT + max(frame.shape)
    images = [np.pad(image, far) for image in images]
    size = (HEIGHT + 2 * reach, frame.shape[1] + 2 * reach)
    padded = (fft.next_fast_len(size[0] + HEIGHT, True), fft.next_fast_len(size[1], True))
    ones = np.ones((HEIGHT, frame.shape[1]))
    for start in range(0, frame.shape[0] - HEIGHT + 1, STEP):
        rows = slice(start, start + HEIGHT)
        strip = [frame[rows], ones, frame_power[rows] - 2 * constant]
        if path is not None:
            shift = np.rint(path[rows, 1] - path[rows, 1].mean()).astype(int)
            strip = [_shift_rows(values, shift) for values in strip]
        corner = np.array([start, 0]) - center - reach + far + np.array(reference.offset)
        corner = np.clip(corner, 0, np.array(images[0].shape) - size)
        window = np.s_[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
        there = fft.rfft2(np.stack([image[window] for image in images]), padded)
        here = fft.rfft2(np.stack(strip), padded).conj()
        product = here[0] * there[0] - 0.5 * (here[1] * there[1] + here[2] * there[2])
        surface = fft.irfft2(product, padded)[: 2 * reach + 1, : 2 * reach + 1]
        # The larger the displacement of a strip, the higher up it lies in the reference.
        yield surface[::-1, ::-1]


def _filters(
    image: Float64Array, mask: Mask | None, own: float, other: float
) -> tuple[Float64Array, Float64Array, Float64Array, float]:
    """Filter an image for the likelihood of two Gaussian fields with a common signal.

    Returns
    -------
    cross : ndarray of shape (H, W)
        To be multiplied with the other image.
    first, second : ndarray of shape (H, W)
        Filtered squares of the image as that of noise ``own``, and as that of noise ``other``.
    constant : float
        Value of a pixel for what both images show.
    """
    rim = [min(_RIM, side - 1) for side in image.shape]
    taper = [
        np.pad(np.ones(side), r, "linear_ramp") for side, r in zip(image.shape, rim, strict=True)
    ]
    window = np.outer(*(np.sin(np.pi / 2 * t) ** 2 for t in taper))
    widths = [(r, r) for r in rim]
    padded = np.pad(image, widths, mode="reflect") * window
    known = np.ones(image.shape) if mask is None else mask.astype(float)
    weight = np.sum((np.pad(known, widths, mode="reflect") * window) ** 2)
    spectrum = fft.rfft2(padded)
    power = ndimage.gaussian_filter(np.abs(spectrum) ** 2, 1.0, mode=("wrap", "reflect"))
    signal = np.maximum(power / max(weight, 1) - (own if mask is None else other), 0)
    squared = np.add.outer(fft.fftfreq(padded.shape[0]) ** 2, fft.rfftfreq(padded.shape[1]) ** 2)
    unexplained = (_UNEXPLAINED + (2 * np.pi * _ERROR) ** 2 * squared) * signal
    first, second = own + unexplained, other + unexplained
    determinant = signal * (first + second) + first * second
    cut = np.s_[rim[0] : rim[0] + image.shape[0], rim[1] : rim[1] + image.shape[1]]

    def filtered(transfer: Float64Array) -> Float64Array:
        return fft.irfft2(spectrum * transfer, padded.shape)[cut]

    gain = np.log((signal + first) * (signal + second) / determinant) / 2
    # Of the half spectrum of a real image, all columns but the first count twice.
    constant = float((2 * gain.sum() - gain[:, 0].sum()) / padded.size)
    square = signal**2 / determinant
    return (
        filtered(signal / determinant),
        image * filtered(square / (signal + first)),
        image * filtered(square / (signal + second)),
        constant,
    )


def _shift_rows(values: Float64Array, shift: NDArray[np.int64]) -> Float64Array:
    """Move each row to the left by whole pixels; what comes in is 0."""
    width = values.shape[1]
    index = np.arange(width) + shift[:, None]
    inside = (index >= 0) & (index < width)
    return np.where(inside, np.take_along_axis(values, index.clip(0, width - 1), axis=1), 0.0)


def _smooth(likelihood: Float64Array) -> Float64Array:
    """Return the probability of each displacement of each strip, given all strips."""
    relative = likelihood - likelihood.max(axis=(1, 2), keepdims=True)
    likelihood = np.exp(np.maximum(relative, _LEAST))

    def move(probability: Float64Array) -> Float64Array:
        moved = ndimage.gaussian_filter(probability, _STEP_SIGMA, mode="constant")
        moved += _JUMP * moved.sum() / moved.size
        return moved / moved.sum()

    forward, backward = np.empty_like(likelihood), np.empty_like(likelihood)
    forward[0] = likelihood[0] / likelihood[0].sum()
    for index in range(1, len(likelihood)):
        product = move(forward[index - 1]) * likelihood[index]
        forward[index] = product / product.sum()
    backward[-1] = 1 / likelihood[0].size
    for index in range(len(likelihood) - 2, -1, -1):
        backward[index] = move(backward[index + 1] * likelihood[index + 1])
    posterior = forward * backward
    return posterior / posterior.sum(axis=(1, 2), keepdims=True)


def _summarise(posterior: Float64Array, reach: int) -> tuple[NDArray, Float64Array, float]:
    """Return the likeliest displacement, its standard error and its probability."""
    peak = np.unravel_index(ndimage.uniform_filter(posterior, 3).argmax(), posterior.shape)
    corner = [max(0, int(p) - _NEAR) for p in peak]
    box = np.s_[
        corner[0] : int(peak[0]) + _NEAR + 1,
        corner[1] : int(peak[1]) + _NEAR + 1,
    ]
    weights = posterior[box]
    probability = float(weights.sum())
    weights = weights / probability
    at = [np.arange(n) + c - reach for n, c in zip(weights.shape, corner, strict=True)]
    along = [weights.sum(axis=1), weights.sum(axis=0)]
    mean = np.array([w @ a for w, a in zip(along, at, strict=True)])
    variance = [w @ (a - m) ** 2 for w, a, m in zip(along, at, mean, strict=True)]
    # The grid adds the variance of a uniform distribution of 1 px.
    return mean, np.sqrt(np.array(variance) + 1 / 12), probability
