"""Drift within the frames of a series, for DriftDecayModel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .._arrays import as_array
from .._constraints import shorten
from .._missing import Mask
from .._motion import Motion
from .._validation import Float32Array, check_frames
from .._warnings import warn_caller
from ..exceptions import InvalidParameterError, ModelMismatchWarning
from ..registration import AlignedStack, Registration, RowPaths
from ..registration._align_rows import straighten_series
from ..registration._canvas import CanvasKind
from ..registration._row_paths import check_scan_direction, check_series, fit_rows, turn_back
from ..registration._row_residual import RowResidual, row_residual
from ..registration._search_limits import SearchLimits
from ..registration._trajectory_table import read_motions
from ._pairs import RegisterPair
from ._series import masks_of_frames, motions_of, register_series

# Key of `DataFrame.attrs` under which a trajectory carries the paths of the rows.
_KEY = "row_paths"
# Displacements of rows in px of binned frames from which the motion of whole frames is wrong: as a
# root mean square, and at most. Frames that moved as a whole have up to 0.9 and 2.1.
_RMS, _LARGEST = 1.2, 2.4
# A frame of which the rows are displaced has at most this confidence.
_MISMATCH_CONFIDENCE = 0.4


def check_rows(motion: str, readout: str, scan_direction: ArrayLike | None) -> None:
    """Check that parameters about the rows of frames go together."""
    if motion == "path" and readout == "frame":
        raise InvalidParameterError(
            "motion='path' is about frames that are recorded row by row; with readout='frame' "
            "choose another motion, as 'affine'."
        )
    if motion != "path" and scan_direction is not None:
        raise InvalidParameterError(
            f"scan_direction is of use with motion='path' alone, but motion={motion!r}; leave "
            f"either out."
        )


def register_paths(
    frames: Float32Array,
    register_pair: RegisterPair,
    *,
    scan_direction: ArrayLike | None,
    missing: Mask | None,
    limits: SearchLimits | None,
    verbose: int,
) -> pd.DataFrame:
    """Return the trajectory of a series that drifts within its frames.

    Drift and rotation are those of the middle row of each frame.
    """
    check_series(frames)
    turns = check_scan_direction(scan_direction, frames.shape)
    upright, lacking = turn_back(frames, turns)
    table = register_series(
        upright,
        register_pair,
        verbose=verbose,
        missing=missing if lacking is None else lacking,
        limits=limits,
    )
    shape = (upright.shape[1], upright.shape[2])
    rows = fit_rows(frames, read_motions(table, shape, "trajectory"), turns, missing)
    middle = frames.shape[1] // 2
    table["dy"], table["dx"] = rows.path[:, middle].T
    table["rotation_deg"] = 180 - (turns + 180) % 360
    table["shear"] = table["stretch"] = 0.0
    table["scale"] = 1.0
    # Strips are located near the motion of the whole frame, and are as uncertain as it.
    table["confidence"] = np.minimum(2 * table["confidence"], 1) * rows.probability.mean(axis=1)
    table.attrs[_KEY] = rows
    return table


def rows_of(
    trajectory: pd.DataFrame,
    frames: Float32Array,
    *,
    scan_direction: ArrayLike | None,
    missing: Mask | None,
) -> RowPaths:
    """Return the paths of the rows that a trajectory carries, or else fit them near its drift."""
    # What is no table is named below.
    rows = getattr(trajectory, "attrs", {}).get(_KEY)
    if isinstance(rows, RowPaths) and rows.path.shape[:2] == frames.shape[:2]:
        return rows
    check_series(frames)
    motions = motions_of(trajectory, frames)
    return fit_rows(frames, motions, check_scan_direction(scan_direction, frames.shape), missing)


def warn_of_rows(
    trajectory: pd.DataFrame,
    frames: Float32Array,
    motions: Sequence[Motion],
    missing: Mask | None,
    *,
    linear: bool,
) -> None:
    """Warn, and lower the confidence, of frames whose rows are displaced from the first one's."""
    lacks = masks_of_frames(missing, len(frames))
    residuals = [
        row_residual(frames[0], frame, motion, (lacks[0], lack), linear=linear)
        for frame, motion, lack in zip(frames[1:], motions[1:], lacks[1:], strict=True)
    ]
    bent = [index for index, residual in enumerate(residuals, start=1) if _is_bent(residual)]
    if bent:
        largest = max(residuals[index - 1].largest for index in bent)
        warn_caller(mismatch_message(f"frames {shorten(bent)}", largest), ModelMismatchWarning)
        capped = np.minimum(trajectory["confidence"].to_numpy()[bent], _MISMATCH_CONFIDENCE)
        trajectory.loc[trajectory.index[bent], "confidence"] = capped


def warn_of_pair_rows(
    found: Registration,
    first: Float32Array,
    second: Float32Array,
    missing: Sequence[Mask | None],
    *,
    linear: bool,
) -> Registration:
    """Warn if the rows of a pair are displaced, and return a registration of lower confidence."""
    residual = row_residual(first, second, found.motion, (missing[0], missing[1]), linear=linear)
    if not _is_bent(residual):
        return found
    warn_caller(mismatch_message("the second frame", residual.largest), ModelMismatchWarning)
    return replace(found, confidence=min(found.confidence, _MISMATCH_CONFIDENCE))


def apply_rows(
    trajectory: pd.DataFrame,
    array: ArrayLike,
    frame_shape: tuple[int, int] | None,
    *,
    canvas: CanvasKind,
    fill: float,
) -> AlignedStack:
    """Align data (n_frames, H, W, ...) along the paths of rows that a trajectory carries."""
    rows = trajectory.attrs.get(_KEY)
    values = as_array(array, "array")
    if not isinstance(rows, RowPaths):
        raise ValueError(
            "trajectory carries no paths of rows; pass the table that trajectory() returned, which "
            "loses them when it is saved."
        )
    if values.ndim < 3 or values.shape[:2] != rows.path.shape[:2] or frame_shape is not None:
        raise ValueError(
            f"array has shape {values.shape}; with motion='path' it must have a row for each of "
            f"the {rows.path.shape[1]} rows of the {rows.path.shape[0]} frames, without "
            f"frame_shape."
        )
    channels = values.reshape(*values.shape[:3], -1)
    parts = [
        straighten_series(
            check_frames(channels[..., index], name="array"), rows, canvas=canvas, fill=fill
        )
        for index in range(channels.shape[3])
    ]
    shape = (*parts[0].shape, *values.shape[3:])
    mask = np.stack([np.asarray(part.mask) for part in parts], axis=-1).reshape(shape)
    aligned = np.stack([np.asarray(part) for part in parts], axis=-1).reshape(shape)
    return AlignedStack(aligned, mask, parts[0].origin)


def _is_bent(residual: RowResidual) -> bool:
    rms, largest, binning = residual
    return rms > _RMS * binning or largest > _LARGEST * binning


def mismatch_message(frames: str, largest: float) -> str:
    """Return what to tell of frames whose rows a motion leaves displaced."""
    return (
        f"Rows of {frames} are displaced by up to {largest:.1f} px from what the motion gives "
        f"relative to the first frame: the drift changed during the scan, or the "
        f"frames are distorted. Pass motion='path', or readout='frame' for frames that are "
        f"recorded at once."
    )
