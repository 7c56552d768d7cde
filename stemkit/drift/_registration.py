"""The motion between two frames, how sure it is, and what else it might have been."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from .._motion import Motion
from .._validation import Float32Array, check_pair
from ._coarse import Peak, bin_frame, search, weigh_frequencies
from ._fine import Refined, prepare, refine

MotionModel = Literal["translation", "rigid", "scan", "affine"]

_FREE: dict[str, tuple[str, ...]] = {
    "translation": (),
    "rigid": ("rotation",),
    "scan": ("shear", "stretch"),
    "affine": ("rotation", "shear", "stretch", "scale"),
}
# Longest side in px of the frames that the search and the last refinement look at.
_COARSE_SIDE = 256
_FINE_SIDE = 512
# Noise that comes with the signal, in shares of its power: much in the search, so that a lattice
# can't drown what is unique; little in the refinement, where the lattice is welcome.
_UNEXPLAINED_COARSE = 1.0
_UNEXPLAINED_FINE = 0.01
# Frames with fewer px than this along a side hold too little to tell a motion from chance.
_LEAST_SIDE = 16
_ROTATION_STEP = np.deg2rad(1.0)
_N_PEAKS = 6
# Candidates below this share of the best one's height are not worth refining.
_LEAST_HEIGHT = 0.6


@dataclass(frozen=True)
class Registration:
    """How the specimen moved between two frames.

    Parameters
    ----------
    motion : Motion
        The most likely motion, first frame to second.
    confidence : float
        Probability that ``motion`` is right, and not off by a lattice vector or by chance.
    candidates : tuple of (Motion, float)
        Motions that the frames leave open, each with its weight, the likeliest first. The
        weights add up to 1; the first motion is ``motion``.
    overlap : float
        Share of the first frame that the second still shows, if ``motion`` is right.
    """

    motion: Motion
    confidence: float
    candidates: tuple[tuple[Motion, float], ...]
    overlap: float


def register(
    first: ArrayLike,
    second: ArrayLike,
    *,
    motion: MotionModel = "rigid",
    max_drift: float = 0.5,
    max_rotation: float = 6.0,
) -> Registration:
    """Estimate how the specimen moved between two frames.

    The whole range of drifts and rotations is searched on binned frames by cross-correlation,
    with the lattice held down; the best peaks are then refined to a fraction of a pixel.

    Parameters
    ----------
    first, second : array-like of shape (H, W)
        The earlier and the later frame, on any intensity scale.
    motion : {"translation", "rigid", "scan", "affine"}, default="rigid"
        What the specimen may do: only drift; drift and rotate; drift while the slow scan runs,
        which shears and stretches the frame; or any linear map.
    max_drift : float, default=0.5
        Largest drift along each axis, in shares of the frame's side.
    max_rotation : float, default=6.0
        Largest rotation in degrees, either way, for "rigid" and "affine".

    Returns
    -------
    Registration
        For frames that hold nothing to register, no motion and a confidence of 0.

    Raises
    ------
    ValueError
        Where the frames differ in shape or are not finite real numbers, or an option is out of
        range.

    Examples
    --------
    >>> from stemkit.datasets import make_drift_pairs
    >>> from stemkit.drift import register
    >>> data = make_drift_pairs(1, shape=(128, 128), random_state=0)
    >>> result = register(*data.pairs[0])
    >>> bool(abs(result.motion.drift - data.drift[0]).max() < 1)
    True
    """
    if motion not in get_args(MotionModel):
        raise ValueError(f"motion must be one of {get_args(MotionModel)}; got {motion!r}.")
    if not 0 < max_drift < 1:
        raise ValueError(f"max_drift is a share of the frame's side, above 0 and below 1; got {max_drift}.")
    if not 0 <= max_rotation <= 45:
        raise ValueError(f"max_rotation must lie between 0 and 45 degrees; got {max_rotation}.")
    if np.shape(first) != np.shape(second):
        raise ValueError(
            f"first has shape {np.shape(first)} and second {np.shape(second)}; "
            f"crop or pad them to one (H, W)."
        )
    frames = check_pair([first, second], name="(first, second)")
    height, width = frames.shape[1:]
    shape = (height, width)
    if min(shape) < _LEAST_SIDE:
        return _unknown(shape)

    coarse = -(-max(shape) // _COARSE_SIDE)
    weighted = [weigh_frequencies(bin_frame(f, coarse), _UNEXPLAINED_COARSE) for f in frames]
    peaks = search(
        *weighted,
        rotations=_rotations(motion, max_rotation),
        max_drift=max_drift,
        n_peaks=_N_PEAKS,
    )
    peaks = [peak for peak in peaks if peak.height >= _LEAST_HEIGHT * peaks[0].height]
    if not peaks:
        return _unknown(shape)
    prepared = [prepare(f) for f in weighted]
    fits = [refine(*prepared, peak.motion, _FREE[motion], max_steps=6) for peak in peaks]
    heights = np.array([_height(fit) for fit in fits])
    order = np.argsort(-heights, kind="stable")
    weights = np.exp(20 * (heights[order] / max(heights.max(), 1e-9) - 1))
    weights /= weights.sum()
    confidence = float(weights[0] * _significance(peaks[0]))

    fine = -(-max(shape) // _FINE_SIDE)
    polished = [prepare(weigh_frequencies(bin_frame(f, fine), _UNEXPLAINED_FINE)) for f in frames]
    start = _rescaled(fits[order[0]].motion, coarse, fine, shape)
    best = refine(*polished, start, _FREE[motion])
    found = _rescaled(best.motion, fine, 1, shape)
    others = [_rescaled(fits[i].motion, coarse, 1, shape) for i in order[1:]]
    candidates = zip([found, *others], weights.tolist(), strict=True)
    return Registration(found, confidence, tuple(candidates), best.overlap)


def _rotations(motion: MotionModel, max_rotation: float) -> np.ndarray:
    if "rotation" not in _FREE[motion]:
        return np.zeros(1)
    limit = np.deg2rad(max_rotation)
    n_steps = int(np.ceil(limit / _ROTATION_STEP))
    return np.linspace(-limit, limit, 2 * n_steps + 1)


def _rescaled(motion: Motion, factor: int, target: int, shape: tuple[int, int]) -> Motion:
    """Return a motion of frames binned by ``factor`` for the same frames binned by ``target``."""
    return motion.rescaled(factor / target, (shape[0] // target, shape[1] // target))


def _height(fit: Refined) -> float:
    return max(fit.correlation, 0.0) * float(np.sqrt(fit.overlap))


def _significance(peak: Peak) -> float:
    """Return the probability that a peak of this height isn't chance."""
    return float(1 / (1 + np.exp(-(peak.height - 7.0))))


def _unknown(shape: tuple[int, int]) -> Registration:
    still = Motion(shape)
    return Registration(still, 0.0, ((still, 1.0),), 1.0)
