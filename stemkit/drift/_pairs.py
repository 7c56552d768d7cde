"""Registration, prediction and score of a pair of frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .._missing import Mask, bin_missing
from .._motion import Motion
from .._validation import Float32Array
from .._warnings import warn_caller
from ..damage._aligned_pair import AlignedPair, DetailedFrame
from ..damage._decay_map import DecayMaps, decay_between
from ..damage._network import DamageNetwork
from ..damage._prediction import explained_share, predict_frames
from ..exceptions import LowConfidenceWarning, OutOfDomainWarning
from ..registration import Registration
from ..registration._binning import bin_frame, bin_overlap, unbin_map
from ..registration._pair import MIN_CONFIDENCE, MotionModel, register_frames
from ..registration._search_limits import SearchLimits
from ..registration._warping import align, holds_data
from ._results import DriftDecayState

Missing = Sequence[Mask | None]
# Pairs of reversed contrast that a warning lists.
_NAMED = 4


class RegisterPair(Protocol):
    """Registers two frames; pixels of ``missing`` hold no data in the first, and in the second.

    Without ``limits`` of the search, the frames are consecutive ones.
    """

    def __call__(
        self,
        first: Float32Array,
        second: Float32Array,
        missing: Missing = (None, None),
        *,
        limits: SearchLimits | None = None,
    ) -> Registration: ...


def correlation_registration(
    register: Callable[..., Registration], motion: MotionModel, usual: SearchLimits
) -> RegisterPair:
    """Return a registration of pairs by ``stemkit.registration.register``, within usual limits."""

    def register_pair(
        first: Float32Array,
        second: Float32Array,
        missing: Missing = (None, None),
        *,
        limits: SearchLimits | None = None,
    ) -> Registration:
        limits = limits or usual
        if all(mask is None for mask in missing) and limits == SearchLimits():
            return register(first, second, motion=motion, bad_pixels=None)
        return register_frames(np.stack([first, second]), missing, motion, limits)

    return register_pair


def network_registration(
    network: DamageNetwork, binning_for: Callable[[Float32Array], int], translation: bool
) -> RegisterPair:
    """Return a registration of pairs by the network's motion head, which gives no confidence."""

    def register_pair(
        first: Float32Array,
        second: Float32Array,
        missing: Missing = (None, None),
        *,
        limits: SearchLimits | None = None,
    ) -> Registration:
        shape, binning = (first.shape[0], first.shape[1]), binning_for(first)
        binned = network.motion(bin_frame(first, binning), bin_frame(second, binning))
        motion = binned.rescaled(binning, shape)
        if translation:
            motion = Motion(shape, motion.drift)
        overlap = float(holds_data(motion, *missing).mean())
        return Registration(motion, 0.0, ((motion, 1.0),), overlap)

    return register_pair


def warn_of_pair(found: Registration, explain: Callable[[Registration], str]) -> None:
    """Warn if the frames of a pair do not determine its drift, and say what they show."""
    warn_of_contrast({(0, 1): found})
    if found.confidence < MIN_CONFIDENCE:
        warn_caller(
            f"The drift of this pair has a confidence of {found.confidence:.2f}: "
            f"{explain(found)}. See `candidates`.",
            LowConfidenceWarning,
        )


def warn_of_contrast(registrations: Mapping[tuple[int, int], Registration]) -> None:
    """Warn if the contrast of frames is reversed, which makes the decay between them wrong."""
    pairs = [f"{i} and {j}" for (i, j), found in registrations.items() if found.contrast < 0]
    if pairs:
        more = f" and {len(pairs) - _NAMED} more pairs" if len(pairs) > _NAMED else ""
        warn_caller(
            f"The contrast of frames {', '.join(pairs[:_NAMED])}{more} is reversed, as on either "
            f"side of focus. Their drift is that of the negative; their decay compares "
            f"intensities and is not valid.",
            OutOfDomainWarning,
        )


def predict_pair(
    network: DamageNetwork,
    first: Float32Array,
    second: Float32Array,
    found: Registration,
    times: NDArray[np.float64],
    binning: int,
    unit: np.float32,
    missing: Missing = (None, None),
) -> DriftDecayState:
    """Predict decay and frames of a registered pair at one time or several."""
    motion = found.motion
    all_times = np.atleast_1d(times)
    aligned, overlap = align(second, motion, missing)
    decay, stderr = _decay(network, first, aligned, overlap, all_times, binning, missing)
    frames = predict_frames(first, aligned, overlap, decay, motion, all_times, binning)
    steps = [motion.at(float(time)) for time in all_times]
    drift = np.stack([step.drift for step in steps])
    rotation = np.array([step.rotation for step in steps])
    single = times.ndim == 0
    return DriftDecayState(
        t=float(times) if single else times.copy(),  # it may be the caller's own array
        drift=drift[0] if single else drift,
        rotation=float(rotation[0]) if single else rotation,
        decay=decay[0] if single else decay,
        decay_stderr=stderr[0] if single else stderr,
        frame=unit * (frames[0] if single else frames),
        motion=motion,
        confidence=found.confidence,
        candidates=found.candidates,
        overlap=overlap,
    )


def score_pair(
    network: DamageNetwork,
    first: Float32Array,
    second: Float32Array,
    motion: Motion,
    binning: int,
    missing: Missing = (None, None),
) -> float:
    """Return the share of the second frame's structure that the first one's predicts."""
    aligned, overlap = align(second, motion, missing)
    decay = _decay(network, first, aligned, overlap, np.ones(1), binning, missing).decay[0]
    reference, observed, expected = (bin_frame(f, binning) for f in (first, aligned, decay))
    inside = _bin_overlap(overlap, binning, missing) == 1
    return explained_share(reference, observed, expected, inside)


def _decay(
    network: DamageNetwork,
    first: Float32Array,
    aligned: Float32Array,
    overlap: NDArray[np.bool_],
    times: NDArray[np.float64],
    binning: int,
    missing: Missing,
) -> DecayMaps:
    """Return the decay (n_times, H, W) from a first frame to a second one aligned to it."""
    pair = binned_pair(detailed(first, missing[0], binning), aligned, overlap, binning, missing)
    shape = (first.shape[0], first.shape[1])
    found = decay_between(network, pair, times)
    maps = (np.stack([unbin_map(one, binning, shape) for one in each]) for each in found)
    return DecayMaps(*maps)


def detailed(frame: Float32Array, missing: Mask | None, binning: int) -> DetailedFrame:
    """Return a frame at the resolution of the network."""
    inside = None if missing is None else ~bin_missing(missing, binning)
    return DetailedFrame(bin_frame(frame, binning), inside)


def binned_pair(
    first: DetailedFrame,
    aligned: Float32Array,
    overlap: NDArray[np.bool_],
    binning: int,
    missing: Missing = (None, None),
) -> AlignedPair:
    """Return a pair at the resolution of the network; its first frame is binned already."""
    inside = _bin_overlap(overlap, binning, missing)
    second = DetailedFrame(bin_frame(aligned, binning), None if missing[1] is None else inside == 1)
    return AlignedPair(first, second, inside)


def _bin_overlap(overlap: NDArray[np.bool_], binning: int, missing: Missing) -> Float32Array:
    """Return 1 for blocks of px that hold data and 0 for others; a single pixel may be missing."""
    if all(mask is None for mask in missing):
        return bin_overlap(overlap, binning)
    return (~bin_missing(~overlap, binning)).astype(np.float32)
