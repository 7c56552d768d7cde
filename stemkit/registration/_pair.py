"""The motion between two frames, how sure it is, and what else it might have been."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from .._constraints import Interval, Options, check_arguments
from .._motion import Motion
from .._validation import check_pair, rescale_to_float32
from ._binning import bin_frame
from ._correlation_search import SEPARATION, Peak, search, weigh_frequencies
from ._refinement import Prepared, correlation_margins, count_places, prepare, refine

MotionModel = Literal["translation", "rigid", "scan", "affine"]

_FREE: dict[str, tuple[str, ...]] = {
    "translation": (),
    "rigid": ("rotation",),
    "scan": ("shear", "stretch"),
    "affine": ("rotation", "shear", "stretch", "scale"),
}
# "rigid" is fitted with a shear beside it, see register.
_FITTED = _FREE | {"rigid": ("rotation", "shear")}
# Below this a drift is as likely wrong as right.
MIN_CONFIDENCE = 0.5
# Longest side in px of the frames that the search and the first refinement look at.
_COARSE_SIDE = 200
_FINE_SIDE = 512
# Of the last refinement. Hardly a lattice is recorded with fewer than five px a period, and binned
# to fewer than three its planes show up in the wrong place.
_MOST_BINNING = 2
# Noise that comes with the signal, in shares of its power: much in the search, so that a lattice
# can't drown what is unique; none in the refinement, where the lattice is welcome.
_UNEXPLAINED_COARSE = 1.0
_UNEXPLAINED_FINE = 0.0
# Frames with fewer px than this along a side hold too little to tell a motion from chance.
_LEAST_SIDE = 16
# Standard deviation in px that the jitter of rows may have. Two frames' jitter tilts a line
# through H rows by sqrt(24 / H^3) times as much.
_MOST_JITTER = 4.0
_ROTATION_STEP = np.deg2rad(1.0)
_N_PEAKS = 8
# Candidates below this share of the best one's height are not worth refining.
_LEAST_HEIGHT = 0.5
# How fast the weight of a candidate falls with its height, and the logistic regressions of "is
# right" on the lead over the runner-up and of "isn't chance" on the height: fitted to synthetic
# pairs of seeds that no benchmark uses.
_RIVALRY = 16.0
_CALIBRATION = (3.0, 16.0)
_CHANCE = (14.0, 2.0)
# Frames of a few counts agree in up to 7 places by chance; those of a specimen in 20 and more.
_FEW_PLACES = 9.0


@dataclass(frozen=True)
class Registration:
    """How the specimen moved between two frames.

    Attributes
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


@dataclass(frozen=True)
class _Rival:
    """A motion that the frames may show.

    Its peak on the correlation surface, that and its refined height as a share of the highest's,
    and the share of the frame that it leaves in view.
    """

    motion: Motion
    peak: float
    height: float
    overlap: float


@check_arguments(
    motion=[Options(*get_args(MotionModel))],
    max_drift=[Interval(float, 0, 1, closed="neither")],
    max_rotation=[Interval(float, 0, 45)],
)
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
    if np.shape(first) != np.shape(second):
        raise ValueError(
            f"first has shape {np.shape(first)} and second {np.shape(second)}; "
            f"crop or pad them to one (H, W)."
        )
    pair = np.stack([np.asarray(first), np.asarray(second)])
    frames, _ = rescale_to_float32(check_pair(pair, name="(first, second)"))
    height, width = frames.shape[1:]
    shape = (height, width)
    if min(shape) < _LEAST_SIDE:
        return _unknown(shape)

    coarse, fine = (-(-max(shape) // side) for side in (_COARSE_SIDE, _FINE_SIDE))
    weighted = [weigh_frequencies(bin_frame(f, coarse), _UNEXPLAINED_COARSE) for f in frames]
    peaks = search(
        *weighted, rotations=_rotations(motion, max_rotation), max_drift=max_drift, n_peaks=_N_PEAKS
    )
    prepared = [prepare(f) for f in weighted]
    farthest = np.deg2rad(max_rotation) + _ROTATION_STEP
    rivals = _weigh_rivals(peaks, prepared, _FREE[motion], farthest)
    if not rivals:
        return _unknown(shape)
    heights = np.array([rival.height for rival in rivals])
    weights = np.exp(_RIVALRY * (heights - 1))
    weights /= weights.sum()

    found = rivals[0].motion
    binnings = _finer(fine)
    for before, binning in pairwise((coarse, *binnings)):
        start = _rescaled(found, before, binning, shape)
        last = binning == binnings[-1]
        unexplained = _UNEXPLAINED_FINE if last else _UNEXPLAINED_COARSE
        polished = [prepare(weigh_frequencies(bin_frame(f, binning), unexplained)) for f in frames]
        # Seen coarsely, a narrow frame can't tell a shear from a rotation.
        best = refine(polished, start, (_FITTED if last else _FREE)[motion], full_steps=last)
        found = best.motion
    if motion == "rigid":
        # The shear takes up the rows' jitter or the slow scan's drift and keeps them out of the
        # rotation. Where jitter alone may have made it, the drift is surer without it.
        rotation = best.motion.rotation
        rigid = Motion.from_parameters(start.shape, drift=best.motion.drift, rotation=rotation)
        by_jitter = abs(best.motion.shear) < _MOST_JITTER * np.sqrt(24 / height**3)
        if by_jitter:
            best = refine(polished, rigid, (), full_steps=True)
        else:
            best = replace(best, motion=rigid)
    found = _rescaled(best.motion, binnings[-1], 1, shape)
    others = [_rescaled(rival.motion, coarse, 1, shape) for rival in rivals[1:]]
    candidates = zip([found, *others], weights.tolist(), strict=True)
    confidence = _confidence(
        rivals[0].peak,
        heights,
        correlation_margins(prepared, [rival.motion for rival in rivals]),
        np.array([rival.overlap for rival in rivals]),
        count_places(prepared, rivals[0].motion),
    )
    return Registration(found, confidence, tuple(candidates), best.overlap)


def _weigh_rivals(
    peaks: list[Peak], frames: list[Prepared], parameters: tuple[str, ...], max_rotation: float
) -> list[_Rival]:
    """Refine the peaks and return them, the highest first.

    The height on the correlation surface and that after the refinement count alike: the surface
    knows no local minima, the refinement no steps of drift and rotation.
    """
    peaks = [peak for peak in peaks if peak.height >= _LEAST_HEIGHT * peaks[0].height]
    fits = [(peak, refine(frames, peak.motion, parameters, max_steps=6)) for peak in peaks]
    # A fit that wanders off to where nobody looked is none.
    fits = [
        (peak, fit)
        for peak, fit in fits
        if fit.correlation > 0 and abs(fit.motion.rotation) <= max_rotation
    ]
    if not fits:
        return []
    found = np.array([peak.height for peak, _ in fits])
    refined = np.array([fit.correlation * np.sqrt(fit.overlap) for _, fit in fits])
    heights = refined / refined.max() + found / found.max()
    rivals: list[_Rival] = []
    for index in np.argsort(-heights, kind="stable"):
        peak, fit = fits[index]
        # Two peaks that were refined to one place are one.
        if all(np.hypot(*(fit.motion.drift - r.motion.drift)) > SEPARATION for r in rivals):
            height = float(heights[index] / heights.max())
            rivals.append(_Rival(fit.motion, peak.height, height, fit.overlap))
    return rivals


def _rotations(motion: MotionModel, max_rotation: float) -> NDArray[np.float64]:
    if "rotation" not in _FREE[motion]:
        return np.zeros(1)
    limit = np.deg2rad(max_rotation)
    n_steps = int(np.ceil(limit / _ROTATION_STEP))
    return np.linspace(-limit, limit, 2 * n_steps + 1)


def _rescaled(motion: Motion, factor: int, target: int, shape: tuple[int, int]) -> Motion:
    """Return a motion of frames binned by ``factor`` for the same frames binned by ``target``."""
    return motion.rescaled(factor / target, (shape[0] // target, shape[1] // target))


def _finer(binning: int) -> list[int]:
    """List the binnings of the refinements, from the first to the last."""
    binnings = [binning]
    while binnings[-1] > _MOST_BINNING:
        binnings.append(binnings[-1] // 2)
    return binnings


def _confidence(
    height: float,
    heights: NDArray[np.float64],
    ahead: NDArray[np.float64],
    overlaps: NDArray[np.float64],
    n_places: float,
) -> float:
    """Return the probability that the best peak is the right one and no chance.

    Logistic in how far it stands above its best rival, in how far above what frames of nothing but
    noise give, and in the logarithm of how many places speak for it; times the probability that
    the frames really agree better under it than under any rival, and not over more of them. A
    rival counts by the part that it explains of what the best one explains.
    """
    runner_up = heights[1] if len(heights) > 1 else _LEAST_HEIGHT
    unrivalled = 1 / (1 + np.exp(_CALIBRATION[0] - _CALIBRATION[1] * (1 - runner_up)))
    significant = 1 / (1 + np.exp(_CHANCE[0] - _CHANCE[1] * height))
    many = 1 / (1 + (_FEW_PLACES / max(n_places, 1e-9)) ** 4)
    explained = np.minimum(overlaps[1:] / overlaps[0], 1.0)
    first = np.prod(1 - explained * ndtr(-ahead))
    return float(unrivalled * significant * many * first)


def _unknown(shape: tuple[int, int]) -> Registration:
    still = Motion(shape)
    return Registration(still, 0.0, ((still, 1.0),), 1.0)
