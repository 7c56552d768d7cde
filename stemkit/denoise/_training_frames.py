"""Frames that a network learns from: without blank ones, and at a common level and noise.

A network is trained on standardised frames. One frame of another gain, or with a strong gradient,
would decide that scale, and the others be lost. Such frames are brought to the level and the noise
of most frames, and results are scaled back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._arrays import Float32Array
from .._noise_spectrum import noise_of
from .._warnings import is_first, warn_caller
from ..exceptions import ExposureChangeWarning, OutOfDomainWarning
from ._frame_level import FrameLevel, measure_all, surface

# Whiteness below which neighbouring pixels share noise.
_LEAST_WHITENESS = 0.7
# Slope of a target over its frame, both in the same unit.
_SLOPE = 0.4, 2.5
# Parts of a frame along an axis whose targets are compared, the most frames that are compared for
# what is usual, and the least ratio of gains that tells something.
_PARTS, _MOST_COMPARED, _LEAST_RATIO = 4, 20, 1.5


class CommonLevel(NamedTuple):
    """Level and noise to which unlike frames are brought.

    Attributes
    ----------
    level, noise, spread : float
        Those of most training frames.
    of_targets : bool
        Whether targets change with their frames, so that results are scaled back.
    """

    level: float
    noise: float
    spread: float
    of_targets: bool = True

    @classmethod
    def of(cls, frames: Sequence[FrameLevel]) -> CommonLevel | None:
        """Return the medians of frames that are not blank; None if there are none."""
        found = [frame for frame in frames if not frame.is_blank]
        if not found:
            return None
        level, noise, spread = np.median([frame[:3] for frame in found], axis=0)
        return cls(float(level), float(noise), float(spread))

    def is_like(self, frame: FrameLevel) -> bool:
        """Return whether a frame can be left as it is."""
        common = FrameLevel(self.level, self.noise, self.spread)
        near = frame.is_near(common)
        if frame.is_blank:
            return near
        return near and frame.has_gain_of(common) and not frame.has_gradient

    def change_of(self, frame: FrameLevel, shape: Sequence[int]) -> Change:
        """Return the change that brings a frame to this level and noise."""
        common = FrameLevel(self.level, self.noise, self.spread)
        offset: Any = frame.level
        scale: Any = 1.0 if frame.has_gain_of(common) else self.noise / frame.noise
        if frame.has_gradient:
            offset = surface(frame.levels, shape) if frame.levels is not None else offset
            noise = frame.noise_over(shape)
            scale = scale if noise is None else self.noise / noise
        return Change(offset, scale, self.level)


class Change(NamedTuple):
    """A change of level and gain, of a whole frame or of each pixel."""

    offset: Any
    scale: Any
    level: float

    def __call__(self, frame: NDArray) -> Float32Array:
        """Return the changed frame."""
        return ((frame - self.offset) * self.scale + self.level).astype(np.float32)

    def back(self, frame: NDArray) -> Float32Array:
        """Return the frame before the change."""
        return ((frame - self.level) / self.scale + self.offset).astype(np.float32)


def changes_of(
    found: Sequence[FrameLevel], common: CommonLevel, shape: Sequence[int]
) -> dict[int, Change]:
    """Return the changes of those frames that are unlike the others, by their index."""
    return {
        index: common.change_of(frame, shape)
        for index, frame in enumerate(found)
        if not common.is_like(frame)
    }


def targets_follow(
    frames: Float32Array, targets: Float32Array, changes: Mapping[int, Change]
) -> bool:
    """Return whether targets have the gain, the level and the gradients of their frames.

    Another exposure of the same field does; dots that mark atoms do not, nor do clean frames at one
    level. If not, a target is the less in proportion to its frame the higher the gain is.
    """
    others = [i for i in range(len(frames)) if i not in changes]
    chosen = [*changes, *others[:_MOST_COMPARED]]
    smooth = {i: ndimage.gaussian_filter(frames[i].astype(float), 1) for i in chosen}
    if not _share_unit([smooth[i] for i in chosen], [targets[i] for i in chosen]):
        return False
    slopes, gains, weights = [], [], []
    for i in chosen:
        scale = np.broadcast_to(changes[i].scale if i in changes else 1.0, frames[i].shape)
        for box in _boxes(frames[i].shape):
            x, y = smooth[i][box].ravel(), targets[i][box].ravel().astype(float)
            if x.std() > 0 and y.std() > 0 and (likeness := np.corrcoef(x, y)[0, 1]) > 0:
                slopes.append(np.log(likeness * y.std() / x.std()))
                gains.append(-float(np.log(scale[box].mean())))
                weights.append(likeness)
    if not gains or np.ptp(gains) < np.log(_LEAST_RATIO):
        return True  # changes of the level, which the unit has told of
    return bool(np.polyfit(gains, slopes, 1, w=weights)[0] > -0.5)


def _share_unit(frames: Sequence[NDArray], targets: Sequence[NDArray]) -> bool:
    """Return whether targets are about the frames themselves, rather than some multiple."""
    x, y = np.ravel(frames), np.ravel(targets).astype(float)
    if x.std() == 0 or y.std() == 0:
        return False
    slope, offset = np.polyfit(x, y, 1)
    shift = offset + (slope - 1) * x.mean()
    return bool(_SLOPE[0] < slope < _SLOPE[1] and abs(shift) < x.std())


def _boxes(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Return slices that divide a frame into parts."""
    edges = [np.linspace(0, n, _PARTS + 1).astype(int) for n in shape]
    rows, columns = ([slice(a, b) for a, b in pairwise(e)] for e in edges)
    return [(row, column) for row in rows for column in columns]


def prepare(
    frames: Float32Array,
    targets: Float32Array | None,
    common: CommonLevel | None,
    name: str,
) -> tuple[Float32Array, Float32Array, CommonLevel | None]:
    """Return training frames and targets without blank ones, at a common level and noise.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, H, W)
    targets : ndarray of shape (n_frames, H, W), optional
        If None, the network learns from the frames alone.
    common : CommonLevel, optional
        That of an earlier training which this one continues.
    name : str
        Of the estimator, for messages.

    Returns
    -------
    frames, targets : ndarray of shape (n_frames, H, W)
        Those that are passed, if nothing is to be changed.
    common : CommonLevel or None
        None if the frames are too small to be measured, or all blank.
    """
    alone = targets is None
    aims = frames if targets is None else targets
    found = measure_all(frames)
    common = common or CommonLevel.of(found)
    if common is None:
        return frames, aims, None
    warn_of_shared_noise(frames, found, name, alone=alone)
    blank = np.array([frame.is_blank for frame in found])
    if not alone:  # an empty frame whose target is empty too is an example
        blank &= [np.ptp(target) > 0 for target in aims]
    if blank.any() and not blank.all():
        warn_caller(
            f"{_listed(np.flatnonzero(blank))} of X, all of one value, left out of the "
            f"training of {name}.",
            ExposureChangeWarning,
        )
        frames = frames[~blank]
        aims = frames if alone else aims[~blank]
        found = [frame for frame, out in zip(found, blank, strict=True) if not out]
    changes = changes_of(found, common, frames.shape[1:])
    if not alone and common.of_targets:
        common = common._replace(of_targets=targets_follow(frames, aims, changes))
    if not changes:
        return frames, aims, common
    warn_of_changes(found, common, changes)
    changed = _apply(changes, frames)
    if alone:
        return changed, changed, common
    return changed, _apply(changes, aims) if common.of_targets else aims, common


def _apply(changes: Mapping[int, Change], frames: Float32Array) -> Float32Array:
    changed = frames.copy()
    for index, change in changes.items():
        changed[index] = change(frames[index])
    return changed


def denoise_at(
    common: CommonLevel, denoise: Callable[[Float32Array], Float32Array], frames: Float32Array
) -> Float32Array:
    """Denoise frames (n, H, W), those unlike the training frames at the common level."""
    found = measure_all(frames)
    changes = changes_of(found, common, frames.shape[1:])
    stay = np.array([frame.is_blank and common.of_targets for frame in found], bool)
    if not changes and not stay.any():
        return denoise(frames)
    warn_of_changes(found, common, changes)
    changed = _apply(changes, frames)
    if not common.of_targets:
        return denoise(changed)
    denoised = frames.copy()  # blank ones stay
    if not stay.all():
        denoised[~stay] = denoise(changed[~stay])
    for index, change in changes.items():
        if not stay[index]:
            denoised[index] = change.back(denoised[index])
    return denoised


def warn_of_changes(
    found: Sequence[FrameLevel], common: CommonLevel, changes: Mapping[int, Change]
) -> None:
    """Warn that frames have another gain, level or a gradient."""
    named = [i for i in changes if not found[i].is_blank]
    if not named or not is_first((ExposureChangeWarning, "frames of a network")):
        return
    ratios = {i: found[i].noise / common.noise if common.noise else 1.0 for i in named}
    worst = max(named, key=lambda i: abs(np.log(max(ratios[i], 1e-30))) + np.log(found[i].across))
    frame = found[worst]
    if frame.has_gradient:
        what = (
            f"has a gradient (its noise changes by a factor of {frame.across:.1f}, its level by "
            f"{frame.steepness:.1f} standard deviations of the rest)"
        )
    else:
        what = (
            f"has {ratios[worst]:.2g} times the noise of most training frames, at a "
            f"level of {frame.level:.3g} rather than {common.level:.3g}"
        )
    back = ", and its result back" if common.of_targets else ""
    warn_caller(
        f"{_listed(named)} of X: gain, level or a gradient unlike those of most training frames; "
        f"frame {worst} {what}. Scaled to their level and noise for the network{back}. "
        f"Divide by the exposure, or by a gain reference, if you know them.",
        ExposureChangeWarning,
    )


def warn_of_shared_noise(
    frames: Float32Array, found: Sequence[FrameLevel], name: str, *, alone: bool
) -> None:
    """Warn if neighbouring pixels share noise, which a network takes for structure."""
    noisy = [i for i, frame in enumerate(found) if frame.has_noise]
    if not noisy:
        return
    noise = noise_of(frames[noisy])
    if noise.is_below(_LEAST_WHITENESS):
        whiteness = noise.whiteness
        effect = (
            f"{name} learns from the neighbours of a pixel, so this noise stays in its results"
            if alone
            else f"{name} can tell it from atoms less well than noise of single pixels"
        )
        warn_caller(
            f"Neighbouring pixels of X share noise (power of the finest details {whiteness:.2f} of "
            f"that of white noise), as after interpolation or by a camera's blur. {effect}: bin "
            f"the frames, or pass them as they were recorded, before they were aligned or "
            f"filtered.",
            OutOfDomainWarning,
        )


def _listed(indices: Any) -> str:
    some = ", ".join(str(int(i)) for i in indices[:5])
    plural = "s" if len(indices) > 1 else ""
    return f"Frame{plural} {some}{', ...' if len(indices) > 5 else ''}"
