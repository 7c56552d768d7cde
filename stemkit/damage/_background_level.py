"""The background level: the intensity of places that are wholly damaged.

Film, background and amorphised matter do not fade with the lattice. Where structure is lost, the
local mean falls towards the background level, so regressing the fall of the mean on the loss of
structure gives the level without a dark place in view:
``mean2 = decay * mean1 + (1 - decay) * level + offset``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from .._validation import Float32Array
from ._aligned_pair import AlignedPair, Background, DetailedFrame, mean_positive
from ._filters import gaussian_filter_dct

# Standard deviation in px of the windows in which decay and local mean are compared.
_WINDOW = 8.0
# Standard deviations in px of the windows over which the level is averaged, the widest first.
_LEVEL_WINDOWS = (48.0, 24.0, 12.0, 8.0)
# Standard error of the decay without noise, from the blur of the window.
_BLUR_ERROR = 0.02
# Prior standard deviations, in units of the contrast: of the local level about the mean level, and
# of the mean level about the mean intensity.
_LOCAL_SPREAD, _MEAN_SPREAD = 0.5, 3.0
# An offset is kept if it exceeds so many standard errors and this share of the contrast. Setting
# it to 0 otherwise makes the level much more precise.
_OFFSET_ERRORS, _OFFSET_SHARE = 5.0, 0.1
# Damage counts as uneven if its variation exceeds that of its noise by so many standard errors.
_UNEVEN_ERRORS = 4.0
# Blocks along each side of the frame in the jackknife of the offset.
_BLOCKS = 4


@dataclass(frozen=True)
class BackgroundEstimate:
    """Estimate of the background from one aligned pair.

    Attributes
    ----------
    offset : float
        How much brighter the background of the second frame is.
    contrast : float
        Root mean square of the first frame's structure; 0 if it has none.
    information, moment : ndarray of shape (H, W)
        Weight of each pixel's estimate of the level, and the weight times the estimate.
    """

    offset: float
    contrast: float
    information: NDArray
    moment: NDArray


def background_of_pair(pair: AlignedPair) -> Background:
    """Estimate the background from two aligned frames alone.

    If nothing is damaged, or everything evenly, it is the one most consistent with the structure.
    """
    estimate = estimate_background(pair)
    level = _smooth_level(
        pair.first.frame, estimate.contrast, estimate.information, estimate.moment
    )
    stderr = _level_error(pair.first.frame, estimate.contrast, estimate.information)
    return Background(level, estimate.offset, stderr)


def backgrounds_of_series(first: DetailedFrame, pairs: Iterable[AlignedPair]) -> list[Background]:
    """Combine the background estimates of all frames of a series.

    Parameters
    ----------
    first : DetailedFrame
        First frame of the series.
    pairs : iterable of AlignedPair
        The first frame with each later one; one is held at a time.

    Returns
    -------
    list of Background
        One for each pair, with a common level and an offset each.
    """
    information, moment = np.zeros((2, *first.frame.shape))
    offsets = []
    for pair in pairs:
        estimate = estimate_background(pair)
        information += estimate.information
        moment += estimate.moment
        offsets.append(estimate.offset)
    contrast = float(np.sqrt(max(np.mean(first.template * first.detail), 0)))
    level = _smooth_level(first.frame, contrast, information, moment)
    stderr = _level_error(first.frame, contrast, information)
    return [Background(level, offset, stderr) for offset in offsets]


def estimate_background(pair: AlignedPair) -> BackgroundEstimate:
    """Regress the fall of the local mean on the loss of structure, pixel by pixel."""
    overlap = pair.overlap
    reference = gaussian_filter_dct(pair.structure.reference, _WINDOW)
    power = mean_positive(reference)
    if power <= 0:
        zeros = np.zeros_like(pair.first.frame)
        return BackgroundEstimate(0.0, 0.0, zeros, zeros)
    reference = reference.clip(0.1 * power)
    observed = gaussian_filter_dct(pair.structure.observed, _WINDOW)
    decay = (observed / reference).clip(-0.2, 1.2)
    area = 4 * np.pi * _WINDOW**2
    noise = pair.second.noise_variance + decay.clip(0, 1) ** 2 * pair.first.noise_variance
    variance = gaussian_filter_dct(
        overlap * pair.first.template**2 * noise, _WINDOW / np.sqrt(2)
    ) / (area * reference**2)
    # The local mean deviates from its line by the error of the decay times the height above the
    # background level.
    weight = overlap / ((variance + _BLUR_ERROR**2) * power * area)
    total = float(weight.sum())
    if total <= 0:
        weight, total = np.ones_like(overlap), float(overlap.size)
    damage = 1 - decay
    average = float((weight * damage).sum()) / total
    # Noise in the damage flattens the fitted line (regression dilution). Shrinking the damage to
    # its variance without noise corrects for that.
    spread = float((weight * (damage - average) ** 2).sum()) / total
    noise_spread = float((weight * variance).sum()) / total
    shrink = max(spread - noise_spread, 0.0) / max(spread, 1e-30)
    damage = average + shrink * (damage - average)
    inside = gaussian_filter_dct(overlap, _WINDOW).clip(1e-3)
    first_mean, second_mean = (
        gaussian_filter_dct(overlap * frame, _WINDOW) / inside
        for frame in (pair.first.frame, pair.second.frame)
    )
    response = second_mean - first_mean + damage * first_mean
    contrast = float(np.sqrt(power))
    offset = _fit_offset(weight, damage, shrink**2 * variance, response, contrast)
    return BackgroundEstimate(
        offset, contrast, weight * damage**2, weight * damage * (response - offset)
    )


def _smooth_level(
    first: Float32Array, contrast: float, information: NDArray, moment: NDArray
) -> Float32Array:
    """Average the pixels' estimates of the level in ever narrower windows."""
    middle = float(first.mean())
    if contrast <= 0:
        return np.full_like(first, middle)
    prior_precision = (_MEAN_SPREAD * contrast) ** -2
    mean_level = (float(moment.sum()) + prior_precision * middle) / (
        float(information.sum()) + prior_precision
    )
    level: NDArray = np.full(first.shape, mean_level)
    prior_precision = (_LOCAL_SPREAD * contrast) ** -2
    for window in _LEVEL_WINDOWS:
        # The level of the wider window is the prior of the narrower one.
        area = 4 * np.pi * window**2
        excess = area * gaussian_filter_dct(moment - information * level, window)
        precision = area * gaussian_filter_dct(information, window) + prior_precision
        level = level + excess / precision
    return level.astype(np.float32)


def _level_error(first: Float32Array, contrast: float, information: NDArray) -> NDArray:
    """Return the standard error of the level, in the narrowest window that it is averaged over."""
    if contrast <= 0:
        return np.full(first.shape, float(first.std()))
    window = _LEVEL_WINDOWS[-1]
    held = 4 * np.pi * window**2 * gaussian_filter_dct(information, window).clip(0)
    return 1 / np.sqrt(held + (_LOCAL_SPREAD * contrast) ** -2)


def _fit_offset(
    weight: NDArray, damage: NDArray, variance: NDArray, response: NDArray, contrast: float
) -> float:
    """Fit ``response = damage * level + offset``; return 0 if the offset is not significant.

    The level is a quadratic polynomial of the position. Damage often follows the thickness, and
    with one level for a whole wedge its slope would go into the offset.
    """
    y, x = np.ix_(*(np.linspace(-1, 1, side) for side in damage.shape))
    polynomials = [np.ones_like(y), y, x, y * y, y * x, x * x]
    terms = np.stack([np.ones(damage.shape), *(damage * term for term in polynomials), response])
    edges = [np.linspace(0, side, _BLOCKS + 1).astype(int) for side in damage.shape]
    blocks = []
    for rows, columns in product(*(pairwise(edge) for edge in edges)):
        block = (slice(*rows), slice(*columns))
        values = terms[:, *block].reshape(len(terms), -1)
        blocks.append((values * weight[block].ravel()) @ values.T)
    sums = np.stack(blocks)
    offset = _first_coefficient(sums.sum(axis=0))
    # Jackknife: the scatter of the offset with one block left out in turn is its standard error,
    # which includes film that varies over the frame.
    left_out = _first_coefficient(sums.sum(axis=0) - sums)
    n_blocks = len(blocks)
    error = np.sqrt((n_blocks - 1) / n_blocks * np.sum((left_out - offset) ** 2))
    significant = abs(offset) > max(_OFFSET_ERRORS * error, _OFFSET_SHARE * contrast)
    if not significant or _is_even(sums.sum(axis=0), weight, damage, variance, terms[1:-1]):
        return 0.0
    return float(offset)


def _is_even(
    sums: NDArray, weight: NDArray, damage: NDArray, variance: NDArray, terms: NDArray
) -> bool:
    """Return whether noise alone may be what tells even damage from an offset.

    The jackknife does not show it, since all blocks share the damage's noise and its correction.
    """
    inverse = np.linalg.pinv(sums[1:-1, 1:-1], rcond=1e-9, hermitian=True)
    fitted = np.tensordot(inverse @ sums[1:-1, 0], terms, axes=1)
    left = float((weight * (1 - fitted) ** 2).sum())
    # The same multiples of the polynomials, times the noise of the damage.
    factor = fitted / np.where(np.abs(damage) < 1e-3, 1e-3, damage)
    noise = float((weight * variance * factor**2).sum())
    n_windows = max(damage.size / (4 * np.pi * _WINDOW**2), 1.0)
    return left < (1 + _UNEVEN_ERRORS * np.sqrt(2 / n_windows)) * noise


def _first_coefficient(sums: NDArray) -> NDArray:
    """Return the first term's coefficient in a linear least-squares fit.

    ``sums`` holds the products of all terms and, in the last row and column, of the response. The
    coefficient is 0 if the other terms explain the first one: even damage cannot be distinguished
    from an offset.
    """
    cross, others = sums[..., :1, 1:-1], sums[..., 1:-1, 1:-1]
    projected = sums[..., 0, [0, -1]] - np.squeeze(
        cross @ np.linalg.pinv(others, rcond=1e-9, hermitian=True) @ sums[..., 1:-1, [0, -1]], -2
    )
    own, response = np.moveaxis(projected, -1, 0)
    determined = own > 1e-6 * sums[..., 0, 0]
    return np.where(determined, response / np.where(determined, own, 1.0), 0.0)
