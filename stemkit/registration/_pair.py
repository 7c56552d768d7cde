"""Registration of two frames: the motion, its probability, and the alternatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from .._constraints import Options, check_arguments
from .._missing import Mask, bin_missing
from .._motion import Motion
from .._validation import (
    BAD_OR_MISSING,
    BadOrMissing,
    Float32Array,
    check_masked_frame,
    rescale_to_float32,
)
from ._binning import bin_frame, search_binning
from ._confidence import (
    MIN_CONFIDENCE,
    MIN_HEIGHT,
    confidence_of,
    confidence_within_step,
    expected_correlation,
)
from ._correlation_search import (
    SEPARATION,
    Peak,
    border,
    search,
    share_of_data,
    weigh_and_rate,
    weigh_frequencies,
)
from ._majority import follow_majority, limit_contrast
from ._refinement import (
    Prepared,
    correlation_margins,
    correlation_of,
    count_places,
    prepare,
    refine,
)
from ._registration import Registration
from ._search_limits import LIMITS, Scale, SearchLimits

__all__ = ["MIN_CONFIDENCE", "MotionModel", "Registration", "register", "register_frames"]

MotionModel = Literal["translation", "rigid", "scan", "affine"]

_FREE: dict[str, tuple[str, ...]] = {
    "translation": (),
    "rigid": ("rotation",),
    "scan": ("shear", "stretch"),
    "affine": ("rotation", "shear", "stretch", "scale"),
}
# For "rigid" a shear is fitted as well, see `register`.
_FITTED = _FREE | {"rigid": ("rotation", "shear")}
# Side in px of the binned frames in the first refinement, or of a square of their area.
_REFINEMENT_SIDE = 512
# Binning of the last refinement at most. Lattices are recorded with at least about five px a
# period; binned to less than three, aliasing moves their planes.
_MAX_BINNING = 2
# Noise that is proportional to the signal's power: high in the search, to keep the lattice from
# hiding unique structure; none in the last refinement, where the lattice is of use.
_SEARCH_NOISE = 1.0
_REFINEMENT_NOISE = 0.0
# Smaller frames contain too little to distinguish a motion from chance, in px a side.
_MIN_SIDE = 16
# Largest expected standard deviation of row jitter in px. The jitter of two frames tilts a line
# through H rows by sqrt(24 / H^3) times as much.
_MAX_JITTER = 4.0
_N_PEAKS = 8
# Depth of the lowest value of the correlation surface, in root mean squares and relative to the
# highest peak, at which the contrast seems to be reversed.
_MIN_DEPTH, _DEEPER = 9.0, 1.3
# Share of the confidence that is lost if it seems to be, and the negative is not registered.
_REVERSAL_DOUBT = 0.6
# Height of the peak in root mean squares, and number of places that agree, of a bright part of the
# frames that may hide the motion of the rest.
_SALIENT, _LOCAL_PLACES = 12.0, 60.0
# Slope of a candidate's log weight with its relative height.
_WEIGHT_SLOPE = 16.0


@dataclass(frozen=True)
class _Candidate:
    """A refined peak of the correlation surface.

    Attributes
    ----------
    motion : Motion
        The refined motion.
    peak : float
        Height on the correlation surface.
    height : float
        Sum of the heights before and after refinement, relative to the best candidate's.
    overlap : float
        Share of the frame that both frames show.
    beyond : float
        Height of the highest peak beyond ``max_step``, relative to this one's.
    """

    motion: Motion
    peak: float
    height: float
    overlap: float
    beyond: float = 0.0


@check_arguments(
    motion=[Options(*get_args(MotionModel))],
    bad_pixels=BAD_OR_MISSING,
    **LIMITS,
)
def register(
    first: ArrayLike,
    second: ArrayLike,
    *,
    motion: MotionModel = "rigid",
    max_drift: float = 0.5,
    max_rotation: float = 6.0,
    max_step: float | None = None,
    scale: Scale = 1.0,
    bad_pixels: BadOrMissing = "repair",
) -> Registration:
    """Estimate how the specimen moved between two frames.

    The whole range of drifts and rotations is searched by cross-correlation of binned frames with
    the lattice suppressed. The best peaks are then refined to a fraction of a pixel.

    Parameters
    ----------
    first, second : array-like of shape (H, W)
        The earlier and the later frame, in any unit of intensity.
    motion : {"translation", "rigid", "scan", "affine"}, default="rigid"
        Drift alone; drift and rotation; drift with a constant velocity during the slow scan, which
        shears and stretches the frame; or drift and any linear map.
    max_drift : float, default=0.5
        Largest drift along each axis, in shares of the frame's side.
    max_rotation : float, default=6.0
        Largest rotation in degrees, either way, for "rigid" and "affine": up to 180. The time grows
        with it.
    max_step : float, optional
        Largest drift in px, in any direction, where it is known to be small. On a lattice that
        drifts by less than half its period it excludes the other drifts by a lattice vector.
    scale : float or (float, float), default=1.0
        Magnification of the second frame relative to the first, 0.5 to 2, or the lowest and the
        highest to search.
    bad_pixels : {"repair", "mask"} or None, default="repair"
        Fill pixels that are NaN, masked, stuck or hit by X-rays, and bad rows and columns, from
        their neighbours, with a :class:`~stemkit.exceptions.BadPixelWarning`. Parts that were not
        recorded or are masked, of 5 x 5 px and more, are left out. With "mask" all of these pixels
        are left out. With None, frames are used as they are, and NaN is an error.

    Returns
    -------
    Registration
        Motion, confidence and candidates. Frames without structure give no motion and a
        confidence of 0.

    Raises
    ------
    InvalidParameterError
        If ``motion`` or a limit of the search is out of range.
    ValueError
        If the frames differ in shape or are not finite real numbers.

    Examples
    --------
    >>> from stemkit.datasets import make_drift_pairs
    >>> from stemkit.registration import register
    >>> data = make_drift_pairs(1, shape=(128, 128), random_state=0)
    >>> result = register(*data.pairs[0])
    >>> bool(abs(result.motion.drift - data.drift[0]).max() < 1)
    True
    """
    pair, missing = zip(
        *(
            check_masked_frame(frame, name=name, bad_pixels=bad_pixels)
            for frame, name in ((first, "first"), (second, "second"))
        ),
        strict=True,
    )
    if pair[0].shape != pair[1].shape:
        raise ValueError(
            f"first has shape {pair[0].shape} and second {pair[1].shape}; "
            f"crop or pad them to one (H, W)."
        )
    limits = SearchLimits(max_drift, max_rotation, max_step, scale)
    return register_frames(np.stack(pair), missing, motion, limits)


def register_frames(
    frames: Float32Array,
    missing: Sequence[Mask | None],
    motion: MotionModel,
    limits: SearchLimits,
) -> Registration:
    """Register two frames (2, H, W), in which pixels of ``missing`` hold no data."""
    found, reverses, is_local = _register(frames, missing, motion, limits, _SEARCH_NOISE)
    if is_local:
        found = _by_majority(found, frames, missing, motion, limits)
    if reverses:
        negative = np.stack([frames[0], frames[1].min() + frames[1].max() - frames[1]])
        opposite, *_ = _register(negative, missing, motion, limits, _SEARCH_NOISE)
        if opposite.confidence > MIN_CONFIDENCE:
            return replace(opposite, contrast=-1)
        # Either sign agrees, so that neither is certain.
        return replace(found, confidence=found.confidence * (1 - _REVERSAL_DOUBT))
    if limits.max_step is None or found.confidence >= MIN_CONFIDENCE:
        return found
    # With no other lattice vector within reach, a lattice tells the drift, and hides nothing.
    by_lattice, *_ = _register(frames, missing, motion, limits, _REFINEMENT_NOISE)
    return max(found, by_lattice, key=lambda registration: registration.confidence)


def _register(
    frames: Float32Array,
    missing: Sequence[Mask | None],
    motion: MotionModel,
    limits: SearchLimits,
    search_noise: float,
) -> tuple[Registration, bool, bool]:
    """Register two frames.

    Also return whether their contrast seems to be reversed, and whether a bright part of the frames
    may hide the rest.
    """
    frames, _ = rescale_to_float32(frames)
    height, width = frames.shape[1:]
    shape = (height, width)
    if min(shape) < _MIN_SIDE:
        return _no_registration(shape), False, False

    coarse, fine = search_binning(shape), int(np.ceil(np.sqrt(height * width) / _REFINEMENT_SIDE))
    free = _FREE[motion] + (("magnification",) if _fits_magnification(motion, limits) else ())
    binned, shares = _binned(frames, missing, coarse)
    rated = [
        weigh_and_rate(f, search_noise, share) for f, share in zip(binned, shares, strict=True)
    ]
    weighted = [frame for frame, _ in rated]
    turns = limits.rotations(weighted[0].shape) if "rotation" in free else np.zeros(1)
    peaks = search(
        *weighted,
        rotations=turns,
        scales=limits.scales(),
        max_drift=limits.max_drift,
        disc=limits.disc(coarse),
        n_peaks=_N_PEAKS,
        shares=_known(shares, binned[0].shape),
    )
    prepared = [prepare(*each) for each in zip(weighted, shares, strict=True)]
    ranked = _rank_candidates(peaks, prepared, free, limits, coarse)
    if not ranked:
        return _no_registration(shape), False, False
    heights = np.array([candidate.height for candidate in ranked])
    weights = np.exp(_WEIGHT_SLOPE * (heights - 1))
    weights /= weights.sum()

    found = ranked[0].motion
    binnings = _refinement_binnings(fine)
    for before, binning in pairwise((coarse, *binnings)):
        start = _rescaled(found, before, binning, shape)
        last = binning == binnings[-1]
        noise = _REFINEMENT_NOISE if last else _SEARCH_NOISE
        finer = [
            prepare(weigh_frequencies(f, noise, share), share)
            for f, share in zip(*_binned(frames, missing, binning), strict=True)
        ]
        # At low resolution shear and rotation of a narrow frame can't be separated.
        fitted = _FITTED[motion] + free[len(_FREE[motion]) :] if last else free
        best = refine(finer, start, fitted, full_steps=last)
        found = best.motion
    if motion == "rigid":
        # The shear absorbs row jitter and drift during the slow scan, which would bias the
        # rotation. If jitter alone explains the shear, the drift is more precise without it.
        rigid = _without_shear(best.motion, limits)
        is_jitter = abs(best.motion.shear) < _MAX_JITTER * np.sqrt(24 / height**3)
        if is_jitter:
            best = refine(finer, rigid, (), full_steps=True)
        else:
            best = replace(best, motion=rigid)
    found = _rescaled(best.motion, binnings[-1], 1, shape)
    others = [_rescaled(candidate.motion, coarse, 1, shape) for candidate in ranked[1:]]
    candidates = zip([found, *others], weights.tolist(), strict=True)
    agreement, in_errors = correlation_of(prepared, ranked[0].motion)
    evidence = (
        heights,
        correlation_margins(prepared, [candidate.motion for candidate in ranked]),
        np.array([candidate.overlap for candidate in ranked]),
        # The square of the standard errors counts patches as the other counts places.
        min(count_places(prepared, ranked[0].motion), max(in_errors, 0.0) ** 2),
    )
    expected = expected_correlation(*(signal for _, signal in rated))
    confidence = confidence_of(ranked[0].peak, *evidence, correlation=agreement, expected=expected)
    if limits.max_step is not None:
        # Of the last refinement, where a lattice has its full weight.
        _, correlation = correlation_of(finer, best.motion)
        within = confidence_within_step(correlation, ranked[0].beyond, *evidence)
        confidence = max(confidence, within)
    depth, height_of_peak = peaks[0].depth, peaks[0].height
    reverses = depth > max(_MIN_DEPTH, _DEEPER * height_of_peak)
    is_local = height_of_peak > _SALIENT and evidence[-1] < _LOCAL_PLACES
    registration = Registration(found, confidence, tuple(candidates), best.overlap)
    return registration, reverses, is_local


def _by_majority(
    found: Registration,
    frames: Float32Array,
    missing: Sequence[Mask | None],
    motion: MotionModel,
    limits: SearchLimits,
) -> Registration:
    """Return the motion of the larger part of the frames, if a bright part moves otherwise."""
    limited = [limit_contrast(frame) for frame in rescale_to_float32(frames)[0]]
    if limited[0] is None or limited[1] is None:
        return found
    pair = np.stack([limited[0], limited[1]])
    other, *_ = _register(pair, missing, motion, limits, _SEARCH_NOISE)
    binning = search_binning((pair.shape[1], pair.shape[2]))
    prepared = [
        prepare(weigh_frequencies(f, _SEARCH_NOISE, share), share)
        for f, share in zip(*_binned(pair, missing, binning), strict=True)
    ]
    return follow_majority(found, other, prepared, binning)


def _binned(
    frames: Float32Array, missing: Sequence[Mask | None], binning: int
) -> tuple[list[Float32Array], list[Float32Array | None]]:
    """Return the frames in blocks of px, and the share of data of each block if some lack it."""
    binned = [bin_frame(frame, binning) for frame in frames]
    width = max(border((binned[0].shape[0], binned[0].shape[1])))
    shares = [
        None if where is None else share_of_data(bin_missing(where, binning), width)
        for where in missing
    ]
    return binned, shares


def _known(shares: list[Float32Array | None], shape: tuple[int, ...]) -> list[Float32Array] | None:
    """Return the shares of both frames, 1 in one that holds data everywhere, or None for both."""
    if all(share is None for share in shares):
        return None
    return [np.ones(shape, np.float32) if share is None else share for share in shares]


def _rank_candidates(
    peaks: list[Peak],
    frames: list[Prepared],
    parameters: tuple[str, ...],
    limits: SearchLimits,
    binning: int,
) -> list[_Candidate]:
    """Refine the peaks and return distinct candidates, the best first.

    The heights before and after refinement have equal weight: the correlation surface is not
    affected by local minima, the refinement not by the steps of drift and rotation.
    """
    peaks = [peak for peak in peaks if peak.height >= MIN_HEIGHT * peaks[0].height]
    fits = [(peak, refine(frames, peak.motion, parameters, max_steps=6)) for peak in peaks]
    # Discard fits outside the search range.
    fits = [
        (peak, fit)
        for peak, fit in fits
        if fit.correlation > 0 and limits.allow(fit.motion, binning)
    ]
    if not fits:
        return []
    before = np.array([peak.height for peak, _ in fits])
    after = np.array([fit.correlation * np.sqrt(fit.overlap) for _, fit in fits])
    heights = after / after.max() + before / before.max()
    ranked: list[_Candidate] = []
    for index in np.argsort(-heights, kind="stable"):
        peak, fit = fits[index]
        # Skip peaks that were refined to the same motion.
        if all(np.hypot(*(fit.motion.drift - c.motion.drift)) > SEPARATION for c in ranked):
            height = float(heights[index] / heights.max())
            ranked.append(_Candidate(fit.motion, peak.height, height, fit.overlap, peak.beyond))
    return ranked


def _fits_magnification(motion: MotionModel, limits: SearchLimits) -> bool:
    return limits.searches_scale and "scale" not in _FREE[motion]


def _without_shear(motion: Motion, limits: SearchLimits) -> Motion:
    """Return the motion with its rotation and magnification alone."""
    scale = 1.0 if limits.scale_range == (1.0, 1.0) else motion.scale
    return Motion.from_parameters(
        motion.shape, drift=motion.drift, rotation=motion.rotation, scale=scale, stretch=scale - 1
    )


def _rescaled(motion: Motion, factor: int, target: int, shape: tuple[int, int]) -> Motion:
    """Convert a motion of frames binned by ``factor`` to the same frames binned by ``target``."""
    return motion.rescaled(factor / target, (shape[0] // target, shape[1] // target))


def _refinement_binnings(binning: int) -> list[int]:
    """List the binnings of the successive refinements."""
    binnings = [binning]
    while binnings[-1] > _MAX_BINNING:
        binnings.append(binnings[-1] // 2)
    return binnings


def _no_registration(shape: tuple[int, int]) -> Registration:
    identity = Motion(shape)
    return Registration(identity, 0.0, ((identity, 1.0),), 1.0)
