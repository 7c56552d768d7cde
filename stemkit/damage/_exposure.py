"""Changes of gain or exposure between the frames of a series, which are no damage."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .._constraints import shorten
from .._frame_statistics import FINEST, spectral_statistics
from .._missing import Mask
from .._validation import Float32Array
from .._warnings import warn_caller
from ..exceptions import ExposureChangeWarning

_N_LEVELS = 20
# Share of each pixel of the mask's footprint in the variance of its response.
_FOOTPRINT = FINEST**2 / (FINEST**2).sum()
# Noise that neighbours share is not that of single pixels, from which the gain is measured.
_LEAST_WHITENESS = 0.6
_MIN_SIDE = 32
# Least change of the gain, as a ratio and in standard errors.
_LEAST_CHANGE = 1.15
_CERTAIN = 4.0
# Quantiles of the intensity, the least change of all of them, and how much they may differ in it.
_QUANTILES = 0.02, 0.1, 0.5, 0.9
_LEAST_OF_ALL = 1.1
_ALIKE = 0.05
# Least share of a frame in which levels are compared.
_LEAST_SHARE = 0.05
# Ratio of contrasts above which a frame is brighter than damage leaves it.
_BRIGHTER = 1.5


def _surroundings() -> NDArray[np.float64]:
    """Return the weights of a Gaussian window without the footprint of the mask."""
    y, x = np.mgrid[-4:5, -4:5]
    weights = np.exp(-(y**2 + x**2) / 4.5) * (np.maximum(np.abs(y), np.abs(x)) > 1)
    return weights / weights.sum()


_SURROUNDINGS = _surroundings()


class _Gain(NamedTuple):
    """Counts of a single electron, and the standard error of its logarithm."""

    value: float
    error: float


def equalize(
    frames: Float32Array,
    exposure: ArrayLike | None,
    *,
    name: str = "stack",
    missing: Mask | None = None,
) -> Float32Array:
    """Divide frames by their exposure relative to the first.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, H, W), float32
        Frames of one specimen.
    exposure : "auto", array-like of shape (n_frames,) or None
        Relative exposures; "auto" estimates changes, with a warning.
    name : str, default="stack"
        Name of the frames, for messages.
    missing : ndarray of shape (n_frames, H, W), bool, optional
        Pixels without data, which tell nothing about the exposure.

    Returns
    -------
    ndarray of shape (n_frames, H, W), float32
        The frames themselves if nothing changed.
    """
    if exposure is None:
        return frames
    if isinstance(exposure, str):
        ratios = _estimate(frames, name, missing)
    else:
        given = np.asarray(exposure, dtype=float)
        if given.shape != (len(frames),) or not ((given > 0) & np.isfinite(given)).all():
            raise ValueError(
                f"exposure must be one positive number for each of the {len(frames)} frames of "
                f"{name}; got shape {given.shape} and values from {given.min(initial=np.inf):g}."
            )
        ratios = given / given[0]
    if (ratios == 1).all():
        return frames
    return (frames / ratios[:, np.newaxis, np.newaxis]).astype(np.float32)


def _estimate(frames: Float32Array, name: str, missing: Mask | None) -> NDArray:
    """Estimate exposures relative to the first frame, and warn if any differs."""
    if min(frames.shape[1:]) < _MIN_SIDE:
        return np.ones(len(frames))
    holds = [None] * len(frames) if missing is None else [~mask for mask in missing]
    gains = [_gain(*each) for each in zip(frames, holds, strict=True)]
    smooth = [ndimage.gaussian_filter(frame, 1.5)[::2, ::2] for frame in frames]
    quantiles = np.array([np.quantile(frame, _QUANTILES) for frame in smooth], dtype=float)
    ratios = np.ones(len(frames))
    reasons: list[str] = []
    brighter: list[int] = []
    for index in range(1, len(frames)):
        of_pair = [quantiles[0], quantiles[index]]
        if missing is not None and missing[[0, index]].any():
            # Levels are compared where both frames hold data.
            both = ~missing[[0, index], ::2, ::2].any(axis=0)
            if both.mean() < _LEAST_SHARE:
                continue
            of_pair = [np.quantile(smooth[i][both], _QUANTILES) for i in (0, index)]
        by_noise = _change_of_gain(gains[0], gains[index])
        by_level = _change_of_level(*of_pair)
        if by_noise != 1:
            ratios[index] = by_noise
            reasons.append(f"frame {index} has {by_noise:.2f} times the gain, by its noise")
        elif by_level != 1:
            ratios[index] = by_level
            reasons.append(
                f"frame {index} has {by_level:.2f} times the intensity, dark and bright alike"
            )
        elif _is_brighter(*of_pair):
            brighter.append(index)
    if brighter:
        warn_caller(
            f"Frames {shorten(brighter)} of {name} are brighter than the first, which damage does "
            f"not explain. If the dwell time, the current or the gain changed, damage follows it: "
            f"pass exposure=[...] with one number for each frame.",
            ExposureChangeWarning,
        )
    if reasons:
        more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        warn_caller(
            f"Exposures in {name} differ from that of the first frame: {'; '.join(reasons[:3])}"
            f"{more}. The frames were divided by it, or damage would follow the exposure; pass "
            f"exposure=[...] with one number for each frame if you know them, or None to compare "
            f"intensities as they are.",
            ExposureChangeWarning,
        )
    return ratios


def _change_of_gain(first: _Gain, other: _Gain) -> float:
    """Return the ratio of two gains; 1 if it is not significant."""
    error = np.hypot(first.error, other.error)
    if not np.isfinite(error):
        return 1.0
    ratio = other.value / first.value
    least = max(np.log(_LEAST_CHANGE), _CERTAIN * error)
    return float(ratio) if abs(np.log(ratio)) > least else 1.0


def _change_of_level(first: NDArray, other: NDArray) -> float:
    """Return the ratio of all quantiles if all rise by the same factor; otherwise 1.

    Damage makes no columns brighter. If all get darker by the same factor, it may be damage.
    """
    if first.min() <= 0 or other.min() <= 0:
        return 1.0
    ratios = np.log(other / first)
    if np.ptp(ratios) > _ALIKE or ratios.mean() < np.log(_LEAST_OF_ALL):
        return 1.0
    return float(np.exp(ratios.mean()))


def _is_brighter(first: NDArray, other: NDArray) -> bool:
    """Return whether bright pixels, above dark ones, got brighter, which damage can't do."""
    heights = [values[-1] - values[0] for values in (first, other)]
    return bool(heights[1] > _BRIGHTER * heights[0] > 0)


def _gain(frame: Float32Array, where: Mask | None = None) -> _Gain:
    """Measure the gain as the slope of the variance of the noise over the intensity."""
    unknown = _Gain(np.nan, np.inf)
    whiteness = spectral_statistics(frame).whiteness
    if not whiteness > _LEAST_WHITENESS:
        return unknown
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
        if level.size < _MIN_SIDE**2:
            return unknown
    borders = np.unique(np.quantile(around, np.linspace(0, 1, _N_LEVELS + 1)))
    if len(borders) < 4:
        return unknown
    group = np.digitize(around, borders[1:-1])
    counts = np.bincount(group.ravel(), minlength=len(borders) - 1)
    if counts.min() < 10:
        return unknown
    mean = ndimage.mean(level, group, np.arange(len(counts)))
    # The median of few counts would be too small.
    variance = ndimage.mean(square, group, np.arange(len(counts)))
    if variance.min() <= 0:
        return unknown
    # Squares of neighbouring pixels are correlated by the mask.
    weight = np.sqrt(counts / 6) / variance
    terms = np.stack([np.ones_like(mean), mean - mean.mean()], axis=1)
    normal = (terms * weight[:, np.newaxis] ** 2).T @ terms
    covariance = np.linalg.inv(normal)
    slope = float((covariance @ (terms.T @ (weight**2 * variance)))[1])
    error = float(np.sqrt(covariance[1, 1]))
    return _Gain(slope, error / slope) if slope > _CERTAIN * error else unknown
