"""The ground: what a place shows once it is wholly damaged.

Film, background and amorphised matter do not fade with the lattice. Where structure is lost, the
local mean falls towards what they show; how far it has fallen where how much structure is left
tells the ground, without a dark place in view: mean2 = decay mean1 + (1 - decay) ground + offset.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from .._validation import Float32Array

# Slower than this is thickness, not structure.
LOW_CUT = 16.0
# Windows in which decay and mean are compared, and over which the ground is told.
_WINDOW = 8.0
_REACHES = (48.0, 24.0, 12.0, 8.0)
# Standard error of the decay that blur leaves where there is no noise.
_BLUR = 0.02
# How far the ground may vary over the frame, and lie from the mean, in units of the contrast.
_VARIATION, _DEPTH = 0.5, 3.0
# An offset between the frames' backgrounds is believed beyond so many standard errors and so much
# of the contrast; without one the ground is far surer.
_OFFSET = (5.0, 0.1)
_BLOCKS = 4


@dataclass(frozen=True)
class Ground:
    """What wholly damaged places of a first frame show, and what it was told from.

    Attributes
    ----------
    level : ndarray of shape (H, W), float32
        Intensity of wholly damaged places.
    offset : float
        What the second frame's background is brighter by.
    information, moment : ndarray of shape (H, W)
        Weight of each place's word on the level, and that weight times the level it tells.
    """

    level: Float32Array
    offset: float
    information: NDArray
    moment: NDArray


def ground_of(
    first: Float32Array,
    second: Float32Array,
    overlap: Float32Array | None = None,
    level: Float32Array | None = None,
) -> Ground:
    """Tell the ground from two aligned frames.

    Parameters
    ----------
    first, second : ndarray of shape (H, W), float32
        Frames with structure of 6 to 20 px, the second aligned to the first.
    overlap : ndarray of shape (H, W), float32, optional
        1 where the second frame holds data and 0 where not.
    level : ndarray of shape (H, W), float32, optional
        The ground's level where it is known, from :func:`common_level`.

    Returns
    -------
    Ground
        Where nothing is damaged, or everything alike, it is what agrees best with the structure.
    """
    inside = np.ones_like(first) if overlap is None else overlap
    detail = [frame - smooth(frame, LOW_CUT) for frame in (first, second)]
    shape = template(detail[0])
    there = smooth(inside * shape * detail[0], _WINDOW)
    usual = float(np.mean(np.maximum(there, 0)))
    if usual <= 0:
        nothing = np.zeros_like(first)
        if level is None:
            level = np.full_like(first, first.mean())
        return Ground(level, 0.0, nothing, nothing)
    there = there.clip(0.1 * usual)
    left = (smooth(inside * shape * detail[1], _WINDOW) / there).clip(-0.2, 1.2)
    noise = [noise_of(*pair) for pair in zip((first, second), detail, strict=True)]
    area = 4 * np.pi * _WINDOW**2
    variance = smooth(
        inside * shape**2 * (noise[1] + left.clip(0, 1) ** 2 * noise[0]), _WINDOW / np.sqrt(2)
    ) / (area * there**2)
    # The mean deviates from its line by the decay's error times what stands above the ground.
    weight = inside / ((variance + _BLUR**2) * usual * area)
    total = float(weight.sum())
    if total <= 0:
        weight, total = np.ones_like(first), float(first.size)
    lost = 1 - left
    average = float((weight * lost).sum()) / total
    # Noise spreads the decay and flattens the line: its share is known.
    spread = float((weight * (lost - average) ** 2).sum()) / total
    of_noise = float((weight * variance).sum()) / total
    lost = average + max(spread - of_noise, 0.0) / max(spread, 1e-30) * (lost - average)
    share = smooth(inside, _WINDOW).clip(1e-3)
    mean = [smooth(inside * frame, _WINDOW) / share for frame in (first, second)]
    fallen = mean[1] - mean[0] + lost * mean[0]
    offset = _offset(weight, lost, fallen, float(np.sqrt(usual)))
    information, moment = weight * lost**2, weight * lost * (fallen - offset)
    if level is None:
        level = _level(first, float(np.sqrt(usual)), information, moment)
    return Ground(level, offset, information, moment)


def common_level(first: Float32Array, grounds: Iterable[Ground]) -> Float32Array:
    """Let all frames of a series have a say on the ground.

    Parameters
    ----------
    first : ndarray of shape (H, W), float32
        First frame of the series.
    grounds : iterable of Ground
        Of the first frame and each later one.

    Returns
    -------
    ndarray of shape (H, W), float32
    """
    information, moment = np.zeros((2, *first.shape))
    for ground in grounds:
        information += ground.information
        moment += ground.moment
    detail = first - smooth(first, LOW_CUT)
    contrast = float(np.sqrt(max(np.mean(template(detail) * detail), 0)))
    return _level(first, contrast, information, moment)


def _level(
    first: Float32Array, contrast: float, information: NDArray, moment: NDArray
) -> Float32Array:
    middle = float(first.mean())
    if contrast <= 0:
        return np.full_like(first, middle)
    little = (_DEPTH * contrast) ** -2
    everywhere = (float(moment.sum()) + little * middle) / (float(information.sum()) + little)
    level: NDArray = np.full(first.shape, everywhere)
    little = (_VARIATION * contrast) ** -2
    for reach in _REACHES:
        # Local words stand out against that of a wider view as far as they are sure.
        area = 4 * np.pi * reach**2
        above = area * smooth(moment - information * level, reach)
        level = level + above / (area * smooth(information, reach) + little)
    return level.astype(np.float32)


def _offset(weight: NDArray, lost: NDArray, fallen: NDArray, contrast: float) -> float:
    """Fit ``fallen = lost ground + offset``; 0 where the offset may as well be none.

    The ground may tilt and bend over the frame. Damage follows the thickness as often as not, and
    of a wedge's ground one level for all would leave the slope to the offset.
    """
    y, x = np.ix_(*(np.linspace(-1, 1, side) for side in lost.shape))
    ground = [np.ones_like(y), y, x, y * y, y * x, x * x]
    terms = np.stack([np.ones(lost.shape), *(lost * term for term in ground), fallen])
    edges = [np.linspace(0, side, _BLOCKS + 1).astype(int) for side in lost.shape]
    blocks = []
    for rows, columns in product(*(pairwise(edge) for edge in edges)):
        block = (slice(*rows), slice(*columns))
        values = terms[:, *block].reshape(len(terms), -1)
        blocks.append((values * weight[block].ravel()) @ values.T)
    sums = np.stack(blocks)
    whole = _intercept(sums.sum(axis=0))
    # Left out in turn, parts of the frame tell how far the fit holds, film that varies included.
    without = _intercept(sums.sum(axis=0) - sums)
    n_blocks = len(blocks)
    error = np.sqrt((n_blocks - 1) / n_blocks * np.sum((without - whole) ** 2))
    sure = abs(whole) > max(_OFFSET[0] * error, _OFFSET[1] * contrast)
    return float(whole) if sure else 0.0


def _intercept(sums: NDArray) -> NDArray:
    """Return the first term's coefficient from the products of terms and, last, of what they fit.

    0 where the other terms do what it does: even damage says nothing of an offset.
    """
    cross, others = sums[..., :1, 1:-1], sums[..., 1:-1, 1:-1]
    without_others = sums[..., 0, [0, -1]] - np.squeeze(
        cross @ np.linalg.pinv(others, rcond=1e-9, hermitian=True) @ sums[..., 1:-1, [0, -1]], -2
    )
    own, fallen = np.moveaxis(without_others, -1, 0)
    firm = own > 1e-6 * sums[..., 0, 0]
    return np.where(firm, fallen / np.where(firm, own, 1.0), 0.0)


def template(frame: Float32Array) -> Float32Array:
    """Draw each row as its neighbours show it.

    What is a row's own, its noise and where jitter put it, is not in it: products of a frame and
    its template, averaged, are those of the structure that rows share.
    """
    distance = np.arange(-3, 4)
    weights = np.exp(-0.5 * distance**2) * (distance != 0)
    along = ndimage.gaussian_filter1d(frame, 1.0, axis=1, mode="reflect")
    return ndimage.correlate1d(along, weights / weights.sum(), axis=0, mode="mirror")


def beside(frame: Float32Array, lag: int = 1) -> Float32Array:
    """Draw at each pixel the one ``lag`` to its right, mirrored at the border."""
    return np.pad(frame, ((0, 0), (0, lag)), mode="symmetric")[:, lag:]


def smooth(values: NDArray, sigma: float) -> NDArray:
    """Average in a Gaussian window; beyond the border lies the mirror image."""
    # Cosine transforms take that border for granted, and wide windows cost no more than narrow.
    spectrum = fft.dctn(values)
    for axis, side in enumerate(values.shape):
        spectrum *= np.expand_dims(_transfer(side, sigma, values.dtype.char), 1 - axis)
    return fft.idctn(spectrum, overwrite_x=True)


@lru_cache(maxsize=128)
def _transfer(side: int, sigma: float, dtype: str) -> NDArray:
    return np.exp(-0.5 * (np.pi * sigma * np.arange(side) / side) ** 2).astype(dtype)


def noise_of(frame: Float32Array, detail: Float32Array) -> Float32Array:
    """Estimate the variance of white noise at each place, (H, W), from a frame and its detail.

    White noise is what the variance has beyond the autocovariance continued to lag 0 from lags 1
    and 2, which for Gaussian columns is a Gaussian; as shot noise does, it goes with the signal.
    """
    lags = [float(np.mean(detail * beside(detail, lag))) for lag in (0, 1, 2)]
    if lags[1] <= 0:
        white = lags[0]
    else:
        continued = lags[1] * (lags[1] / max(lags[2], 0.05 * lags[1])) ** (1 / 3)
        white = max(lags[0] - continued, 0.0)
    level = np.maximum(smooth(frame, 2.0), 0)
    usual = float(level.mean())
    share = level / usual if usual > 0 else np.ones_like(level)
    return (white * share).astype(np.float32)
