"""Changes of gain or exposure between the frames of a series, which are no damage."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .._constraints import shorten
from .._gain import CERTAIN, Gain, gain
from .._missing import Mask
from .._validation import Float32Array
from .._warnings import warn_caller
from ..exceptions import ExposureChangeWarning

_MIN_SIDE = 32
# Least change of the gain, as a ratio.
_LEAST_CHANGE = 1.15
# Quantiles of the intensity, the least change of all of them, and how much they may differ in it.
_QUANTILES = 0.02, 0.1, 0.5, 0.9
_LEAST_OF_ALL = 1.1
_ALIKE = 0.05
# Least share of a frame in which levels are compared.
_LEAST_SHARE = 0.05
# Ratio of contrasts above which a frame is brighter than damage leaves it.
_BRIGHTER = 1.5


def equalize(
    frames: Float32Array,
    exposure: ArrayLike | None,
    *,
    name: str = "stack",
    missing: Mask | None = None,
    recorded: NDArray[np.float64] | None = None,
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
    recorded : ndarray of shape (n_frames,), optional
        Exposures that the files record, which "auto" takes in place of an estimate.

    Returns
    -------
    ndarray of shape (n_frames, H, W), float32
        The frames themselves if nothing changed.
    """
    if exposure is None:
        return frames
    if isinstance(exposure, str) and recorded is not None:
        ratios = recorded / recorded[0]
        if (ratios != 1).any():
            warn_caller(
                f"Exposures or dwell times that {name} records differ, from {ratios.min():.3g} to "
                f"{ratios.max():.3g} times that of the first frame. The frames were divided by "
                f"them; pass exposure=None if intensities do not grow with the exposure.",
                ExposureChangeWarning,
            )
    elif isinstance(exposure, str):
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
    gains = [gain(*each) for each in zip(frames, holds, strict=True)]
    smooth = [ndimage.gaussian_filter(frame, 1.5)[::2, ::2] for frame in frames]
    quantiles = np.array([np.quantile(frame, _QUANTILES) for frame in smooth], dtype=float)
    ratios = np.ones(len(frames))
    reasons: list[str] = []
    brighter: list[int] = []
    averaged: list[str] = []
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
        if by_noise != 1 and not _follow(by_noise, *of_pair):
            averaged.append(f"frame {index} by {by_noise:.2f} times the gain")
        elif by_noise != 1:
            ratios[index] = by_noise
            reasons.append(f"frame {index} has {by_noise:.2f} times the gain, by its noise")
        elif by_level != 1:
            ratios[index] = by_level
            reasons.append(
                f"frame {index} has {by_level:.2f} times the intensity, dark and bright alike"
            )
        elif _is_brighter(*of_pair):
            brighter.append(index)
    if averaged:
        warn_caller(
            f"The noise of frames of {name} differs from that of the first, but their intensities "
            f"do not follow it: {_shortened(averaged)}. Such are averages of several frames, and "
            f"those of a longer dwell time that were divided by it. Nothing was divided; pass "
            f"exposure=[...] with one number for each frame if the gain did change, or None.",
            ExposureChangeWarning,
        )
    if brighter:
        warn_caller(
            f"Frames {shorten(brighter)} of {name} are brighter than the first, which damage does "
            f"not explain. If the dwell time, the current or the gain changed, damage follows it: "
            f"pass exposure=[...] with one number for each frame.",
            ExposureChangeWarning,
        )
    if reasons:
        warn_caller(
            f"Exposures in {name} differ from that of the first frame: {_shortened(reasons)}. The "
            f"frames were divided by it, or damage would follow the exposure; pass exposure=[...] "
            f"with one number for each frame if you know them, or None to compare intensities as "
            f"they are.",
            ExposureChangeWarning,
        )
    return ratios


def _shortened(texts: list[str]) -> str:
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
    return f"{'; '.join(texts[:3])}{more}"


def _follow(ratio: float, first: NDArray, other: NDArray) -> bool:
    """Return whether intensities changed as the gain did, rather than not at all.

    Damage changes the contrast, and the detector's offset the dark level; one of the two must be
    nearer to the ratio than to 1.
    """
    changes = [(values[-1] - values[0], values[0]) for values in (first, other)]
    found = [b / a for a, b in zip(*changes, strict=True) if a > 0 and b > 0]
    return any(abs(np.log(each / ratio)) < abs(np.log(each)) for each in found)


def _change_of_gain(first: Gain, other: Gain) -> float:
    """Return the ratio of two gains; 1 if it is not significant."""
    error = np.hypot(first.error, other.error)
    if not np.isfinite(error):
        return 1.0
    ratio = other.value / first.value
    least = max(np.log(_LEAST_CHANGE), CERTAIN * error)
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
