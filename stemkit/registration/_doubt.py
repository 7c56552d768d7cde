"""Why two frames do not determine a drift, as a clause for warnings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._missing import Mask
from .._motion import Motion
from .._validation import Float32Array, rescale_to_float32
from ._binning import bin_frame, search_binning, wide_gaussian_filter
from ._correlation_search import search, weigh_frequencies
from ._pair import Registration
from ._refinement import prepare
from ._search_limits import SearchLimits
from ._warping import coverage, warp

# Step in degrees of the rotations, and the magnifications, tried outside the limits.
_ROTATION_STEP = 1.5
_SCALES = np.geomspace(0.8, 1.25, 25)
# Height in root mean squares of a peak beyond the limits, and relative to the best one within, that
# tell the true motion (30 and more, four times and more) from chance and from the symmetry of a
# lattice, which agrees with itself when it is turned (up to 18, and 1.8 times).
_NO_CHANCE, _HIGHER = 12.0, 2.0
# Smoothing in px of the even and odd columns of a frame, and their correlation, in standard errors,
# that tells structure from noise.
_SMOOTHING, _STRUCTURE = 1.0, 6.0
# Weight of a rival relative to the best candidate, and the correlation of a frame with itself moved
# by their difference, that tell a lattice.
_RIVAL, _PERIODIC = 0.1, 0.5


def explain(
    frames: Sequence[Float32Array],
    missing: Sequence[Mask | None],
    found: Registration,
    limits: SearchLimits,
    *,
    rotates: bool = True,
) -> str:
    """Return what two frames show for which no drift of high confidence was found.

    Parameters
    ----------
    frames : sequence of two ndarray of shape (H, W), float32
        The earlier frame first.
    missing : sequence of two ndarray of shape (H, W), bool, or None
        Pixels without data.
    found : Registration
        Their registration.
    limits : SearchLimits
        The limits of its search.
    rotates : bool, default=True
        Whether the model of the motion has a rotation.

    Returns
    -------
    str
        A clause in the present tense, with the parameter that helps, if one does.
    """
    names = [
        name for name, frame in zip(("first", "second"), frames, strict=True) if is_blank(frame)
    ]
    if names:
        return f"the {' and the '.join(names)} of them is blank, all of one value"
    scaled = rescale_to_float32(np.stack(frames))[0]
    for frame, lack in zip(scaled, missing, strict=True):
        if lack is not None:
            frame[lack] = frame[~lack].mean() if not lack.all() else 0
    if not all(has_structure(frame) for frame in scaled):
        return "they show no structure above the noise, as vacuum does"
    shape = (scaled.shape[1], scaled.shape[2])
    if min(shape) < 32:
        return "they are too small to tell a motion from chance"
    binning = search_binning(shape)
    binned = [bin_frame(frame, binning) for frame in scaled]
    weighted = [weigh_frequencies(frame, 1.0) for frame in binned]
    return (
        _beyond(weighted, limits, rotates=rotates)
        or _lattice(binned[0], found, binning)
        or (
            "they may have no overlap within `max_drift`, have changed too much, or be too noisy "
            "for their structure"
        )
    )


def is_blank(frame: Float32Array) -> bool:
    """Return whether all pixels of a frame have one value."""
    return bool(frame.min() == frame.max())


def has_structure(frame: Float32Array) -> bool:
    """Return whether neighbouring pixels of a frame agree more than those of white noise."""
    if is_blank(frame) or min(frame.shape) < 16:
        return False
    detail = frame - wide_gaussian_filter(frame, 0.1 * min(frame.shape))
    width = detail.shape[1] // 2 * 2
    even, odd = (
        ndimage.gaussian_filter(detail[:, start:width:2], _SMOOTHING).astype(np.float64)
        for start in (0, 1)
    )
    correlation = np.corrcoef(even.ravel(), odd.ravel())[0, 1]
    # A smoothed pixel counts as much as the area under the square of its Gaussian.
    n_independent = even.size / (4 * np.pi * _SMOOTHING**2)
    return bool(correlation * np.sqrt(n_independent) > _STRUCTURE)


def _beyond(weighted: list[Float32Array], limits: SearchLimits, *, rotates: bool) -> str:
    """Return the limit beyond which the frames agree much better, if there is one."""

    def highest(
        rotations: NDArray[np.float64], scales: NDArray[np.float64]
    ) -> tuple[float, Motion | None]:
        peaks = search(
            *weighted,
            rotations=rotations,
            scales=scales,
            max_drift=limits.max_drift,
            n_peaks=1,
        )
        return (peaks[0].height, peaks[0].motion) if peaks else (0.0, None)

    shape = (weighted[0].shape[0], weighted[0].shape[1])
    inside = limits.rotations(shape) if rotates else np.zeros(1)
    usual, _ = highest(inside, limits.scales())
    enough = max(_NO_CHANCE, _HIGHER * usual)
    reach = float(np.rad2deg(np.abs(inside).max()))
    angles = np.arange(-180, 180, _ROTATION_STEP)
    angles = angles[np.abs(angles) > reach]
    if len(angles):
        height, motion = highest(np.deg2rad(angles), limits.scales())
        if motion is not None and height > enough:
            turned = abs(np.rad2deg(motion.rotation))
            return (
                f"they agree much better when turned by about {turned:.0f} degrees, which "
                f'`max_rotation` of more than that allows (with motion="rigid" or "affine")'
            )
    low, high = limits.scale_range
    scales = _SCALES[(low * 0.99 > _SCALES) | (high * 1.01 < _SCALES)]
    # At another magnification the rotation needs no finer steps than elsewhere.
    height, motion = highest(inside[:: 2 if len(inside) > 3 else 1], scales)
    if motion is not None and height > enough:
        return (
            f"they agree much better with a magnification of about {motion.scale:.2f}, which "
            f"`scale` allows, as a number or a range"
        )
    return ""


def _lattice(frame: Float32Array, found: Registration, binning: int) -> str:
    """Return that candidates are a lattice vector apart, if a frame is periodic by it."""
    best, weight = found.candidates[0]
    # Its lattice has full weight in these frequencies, and noise little.
    values = prepare(weigh_frequencies(frame, 0.0)).values
    shape = (values.shape[0], values.shape[1])
    for rival, other in found.candidates[1:]:
        vector = rival.drift - best.drift
        if other < _RIVAL * weight:
            continue
        shift = Motion(shape, vector / binning)
        moved, inside = warp(values, shift), coverage(shift)
        if inside.sum() < 64:
            continue
        if np.corrcoef(values[inside], moved[inside])[0, 1] > _PERIODIC:
            return (
                f"they show a lattice, and the candidates are a lattice vector apart "
                f"({np.hypot(*vector):.1f} px); if the drift is known to be small, pass `max_step`"
            )
    return ""
