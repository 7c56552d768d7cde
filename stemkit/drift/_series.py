"""Registration and decay of a series, as functions of its frames and motions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from .._missing import Mask
from .._motion import Motion
from .._validation import Float32Array
from ..damage._aligned_pair import AlignedPair, Background
from ..damage._background_level import backgrounds_of_series
from ..damage._decay_map import DecayMaps, decay_between
from ..damage._network import DamageNetwork
from ..damage._prediction import mean_over_specimen
from ..io._conversion import pixel_sides
from ..io._frame_stack import PixelSize
from ..registration import frame_pairs, reconcile, trajectory_table
from ..registration._binning import unbin_map
from ..registration._canvas import Canvas, source_of
from ..registration._frame_chains import FrameChains
from ..registration._search_limits import SearchLimits
from ..registration._trajectory_table import read_motions
from ..registration._warping import align, holds_data
from ._lost_frames import reference_of
from ._pairs import RegisterPair, binned_pair, detailed, warn_of_contrast


def register_series(
    frames: Float32Array,
    register_pair: RegisterPair,
    *,
    verbose: int,
    missing: Mask | None = None,
    limits: SearchLimits | None = None,
) -> pd.DataFrame:
    """Register pairs of a series and return the reconciled motions as a table."""
    pairs = frame_pairs(len(frames))
    lacks = masks_of_frames(missing, len(frames))
    chains = FrameChains(len(frames), limits) if limits is not None else None
    if chains is not None:
        pairs.sort(key=lambda pair: pair[1] - pair[0])
    registrations = {}
    for i, j in tqdm(pairs, desc="drift", unit="pair", disable=verbose < 1):
        pair = frames[i], frames[j], (lacks[i], lacks[j])
        if chains is None:
            registrations[i, j] = register_pair(*pair)
        else:
            found = register_pair(*pair, limits=chains.limits_of(i, j))
            chains.add(i, j, found)
            registrations[i, j] = found
    warn_of_contrast(registrations)
    reference = reference_of(registrations, frames, missing)
    return trajectory_table(*reconcile(registrations, len(frames), reference=reference))


def decay_of_series(
    network: DamageNetwork,
    frames: Float32Array,
    motions: Sequence[Motion],
    binning: int,
    *,
    verbose: int,
    missing: Mask | None = None,
) -> DecayMaps:
    """Return the decay (n_frames, H, W) from the first frame to each, with a common background."""
    shape = (frames.shape[1], frames.shape[2])
    lacks = masks_of_frames(missing, len(frames))
    first = detailed(frames[0], lacks[0], binning)

    def pairs() -> Iterator[AlignedPair]:
        # Aligned anew in each pass: all aligned frames at once would need twice the memory.
        for frame, motion, lack in zip(frames[1:], motions[1:], lacks[1:], strict=True):
            of_pair = (lacks[0], lack)
            yield binned_pair(first, *align(frame, motion, of_pair), binning, of_pair)

    # Released networks use no estimates and need no background.
    known: Sequence[Background | None] = [None] * (len(frames) - 1)
    if network.module.n_evidence:
        known = backgrounds_of_series(first, pairs())
    maps, stderr = np.ones_like(frames), np.zeros_like(frames)
    progress = tqdm(known, desc="decay", unit="frame", disable=verbose < 1)
    for index, (background, pair) in enumerate(zip(progress, pairs(), strict=True), start=1):
        found = decay_between(network, pair, np.ones(1), background)
        maps[index] = unbin_map(found.decay[0], binning, shape)
        stderr[index] = unbin_map(found.stderr[0], binning, shape)
    return DecayMaps(maps, stderr)


def masks_of_frames(missing: Mask | None, n_frames: int) -> list[Mask | None]:
    """Return where each frame holds no data; None for frames without such pixels."""
    if missing is None:
        return [None] * n_frames
    return [mask if mask.any() else None for mask in missing]


def leave_out_missing(
    mask: Mask, motions: Sequence[Motion], missing: Mask | None, origin: tuple[int, int] | None
) -> None:
    """Set the mask of frames aligned on a canvas to False where they hold no data."""
    canvas = Canvas((mask.shape[1], mask.shape[2]), origin or (0, 0))
    for of_frame, motion, lack in zip(
        mask, motions, masks_of_frames(missing, len(mask)), strict=True
    ):
        if lack is not None:
            source = source_of(motion, canvas, canvas.whole())
            of_frame &= source.holds_data(lack)


def add_time_and_damage(
    trajectory: pd.DataFrame,
    times: NDArray,
    first: Float32Array,
    maps: DecayMaps,
    missing: Mask | None = None,
) -> None:
    """Add the columns ``time`` and ``mean_damage`` to the table of a registered series."""
    inside: Sequence[Mask | None] = [None] * len(maps.decay)
    if missing is not None:
        # The damage is unknown where either frame holds no data.
        motions = read_motions(trajectory, (first.shape[0], first.shape[1]), "trajectory")
        lacks = masks_of_frames(missing, len(motions))
        inside = [
            holds_data(motion, lacks[0], lack) for motion, lack in zip(motions, lacks, strict=True)
        ]
    damage = [
        mean_over_specimen(first, 1 - decay, where, stderr)
        for decay, where, stderr in zip(maps.decay, inside, maps.stderr, strict=True)
    ]
    trajectory.insert(list(trajectory.columns).index("confidence"), "mean_damage", damage)
    trajectory.insert(0, "time", times)


def add_nm(trajectory: pd.DataFrame, pixel_size: PixelSize | None) -> None:
    """Add the columns ``dy_nm`` and ``dx_nm``, if the pixel size is known."""
    if pixel_size is not None:
        after = list(trajectory.columns).index("dx") + 1
        for place, (name, side) in enumerate(
            zip(("dy", "dx"), pixel_sides(pixel_size), strict=True)
        ):
            trajectory.insert(after + place, f"{name}_nm", trajectory[name] * side)


def motions_of(trajectory: pd.DataFrame | None, frames: Float32Array) -> list[Motion]:
    """Return the motions of a trajectory of these frames; a single frame needs none."""
    shape = (frames.shape[1], frames.shape[2])
    if trajectory is None:
        return [Motion(shape)]
    motions = read_motions(trajectory, shape, "trajectory")
    if len(motions) != len(frames):
        raise ValueError(
            f"trajectory has {len(motions)} rows for {len(frames)} frames; "
            f"pass the table that trajectory() gave for this stack."
        )
    return motions
