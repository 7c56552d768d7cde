"""Registration, decay and prediction of pairs and series, as functions of frames and motions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from .._motion import Motion
from .._validation import Float32Array
from ..damage._aligned_pair import AlignedPair, Background, DetailedFrame
from ..damage._background_level import backgrounds_of_series
from ..damage._decay_map import decay_between
from ..damage._network import DamageNetwork
from ..damage._prediction import explained_share, predict_frames
from ..registration import (
    Registration,
    frame_pairs,
    motions_from_table,
    reconcile,
    trajectory_table,
)
from ..registration._binning import bin_frame, bin_overlap, unbin_map
from ..registration._warping import align
from ._results import DriftDecayState


def register_by_network(
    network: DamageNetwork,
    first: Float32Array,
    second: Float32Array,
    binning: int,
    *,
    translation: bool = False,
) -> Registration:
    """Register a pair by the network's motion head, which gives no confidence."""
    shape = (first.shape[0], first.shape[1])
    binned = network.motion(bin_frame(first, binning), bin_frame(second, binning))
    motion = binned.rescaled(binning, shape)
    if translation:
        motion = Motion(shape, motion.drift)
    return Registration(motion=motion, confidence=0.0, candidates=((motion, 1.0),), overlap=1.0)


def register_series(
    frames: Float32Array,
    register_pair: Callable[[Float32Array, Float32Array], Registration],
    *,
    verbose: int,
) -> pd.DataFrame:
    """Register pairs of a series and return the reconciled motions as a table."""
    pairs = frame_pairs(len(frames))
    registrations = {
        (i, j): register_pair(frames[i], frames[j])
        for i, j in tqdm(pairs, desc="drift", unit="pair", disable=verbose < 1)
    }
    return trajectory_table(*reconcile(registrations, len(frames)))


def predict_pair(
    network: DamageNetwork,
    first: Float32Array,
    second: Float32Array,
    found: Registration,
    times: NDArray[np.float64],
    binning: int,
    unit: np.float32,
) -> DriftDecayState:
    """Predict decay and frames of a registered pair at one time or several."""
    motion = found.motion
    all_times = np.atleast_1d(times)
    aligned, overlap = align(second, motion)
    decay = _decay(network, first, aligned, overlap, all_times, binning)
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
) -> float:
    """Return the share of the second frame's structure that the first one's predicts."""
    aligned, overlap = align(second, motion)
    decay = _decay(network, first, aligned, overlap, np.ones(1), binning)[0]
    reference, observed, expected = (bin_frame(f, binning) for f in (first, aligned, decay))
    return explained_share(reference, observed, expected, bin_overlap(overlap, binning) == 1)


def decay_of_series(
    network: DamageNetwork,
    frames: Float32Array,
    motions: Sequence[Motion],
    binning: int,
    *,
    verbose: int,
) -> Float32Array:
    """Return the decay (n_frames, H, W) from the first frame to each, with a common background."""
    shape = (frames.shape[1], frames.shape[2])
    first = DetailedFrame(bin_frame(frames[0], binning))

    def pairs() -> Iterator[AlignedPair]:
        # Aligned anew in each pass: all aligned frames at once would need twice the memory.
        for frame, motion in zip(frames[1:], motions[1:], strict=True):
            yield _binned_pair(first, *align(frame, motion), binning)

    # Released networks use no estimates and need no background.
    known: Sequence[Background | None] = [None] * (len(frames) - 1)
    if network.module.n_evidence and len(frames) > 1:
        known = backgrounds_of_series(first, pairs())
    maps = np.ones_like(frames)
    progress = tqdm(known, desc="decay", unit="frame", disable=verbose < 1)
    for index, (background, pair) in enumerate(zip(progress, pairs(), strict=True), start=1):
        decay = decay_between(network, pair, np.ones(1), background)[0]
        maps[index] = unbin_map(decay, binning, shape)
    return maps


def motions_of(trajectory: pd.DataFrame | None, frames: Float32Array) -> list[Motion]:
    """Return the motions of a trajectory of these frames; a single frame needs none."""
    shape = (frames.shape[1], frames.shape[2])
    if trajectory is None:
        return [Motion(shape)]
    motions = motions_from_table(trajectory, shape)
    if len(motions) != len(frames):
        raise ValueError(
            f"trajectory has {len(motions)} rows for {len(frames)} frames; "
            f"pass the table that trajectory() gave for this stack."
        )
    return motions


def _decay(
    network: DamageNetwork,
    first: Float32Array,
    aligned: Float32Array,
    overlap: NDArray[np.bool_],
    times: NDArray[np.float64],
    binning: int,
) -> Float32Array:
    """Return the decay (n_times, H, W) from a first frame to a second one aligned to it."""
    pair = _binned_pair(DetailedFrame(bin_frame(first, binning)), aligned, overlap, binning)
    maps = decay_between(network, pair, times)
    shape = (first.shape[0], first.shape[1])
    return np.stack([unbin_map(one, binning, shape) for one in maps])


def _binned_pair(
    first: DetailedFrame, aligned: Float32Array, overlap: NDArray[np.bool_], binning: int
) -> AlignedPair:
    return AlignedPair(
        first, DetailedFrame(bin_frame(aligned, binning)), bin_overlap(overlap, binning)
    )
