"""The average of a series, as a function of its frames, motions and dose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .._arrays import as_array
from .._constraints import Constraints, Options, check_value, shorten
from .._frame_statistics import noise_level
from .._motion import Motion
from .._validation import Float32Array, check_increasing, split_missing
from ..damage._dose_weights import dose_weights
from ..io._frame_stack import PixelSize
from ..registration import AlignedStack, AveragedSeries, average
from ..registration._average_noise import relative_noise
from ..registration._canvas import CANVAS, CanvasKind
from ..registration._trajectory_table import read_motions

_WEIGHTS: Constraints = [None, Options("inverse-variance"), "array-like"]


def check_average(canvas: Any, weights: Any) -> None:
    """Raise an error if the arguments are not those of `average`, before anything is computed."""
    check_value(canvas, "canvas", CANVAS)
    check_value(weights, "weights", _WEIGHTS)


def average_series(
    frames: Float32Array,
    motions: Sequence[Motion],
    *,
    canvas: CanvasKind,
    weights: ArrayLike | str | None,
    recorded: NDArray[np.bool_] | None,
    dose: ArrayLike | None,
    pixel_size: PixelSize | None,
) -> AveragedSeries:
    """Average frames of the same exposure, with weights by noise and by dose.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, H, W), float32
        The series.
    motions : sequence of Motion
        From the first frame to each.
    canvas, weights, dose
        As in :meth:`DriftDecayModel.average`.
    recorded : ndarray of shape (n_frames, H, W), bool, or None
        False where a pixel was filled; None if none was.
    pixel_size : float, (float, float) or None
        In nm.

    Returns
    -------
    AveragedSeries
    """
    bands = None
    if dose is not None:
        if len(frames) < 3:
            raise ValueError(
                f"dose needs at least three frames to tell how the structure fades; stack has "
                f"{len(frames)}."
            )
        bands = dose_weights(frames, motions, check_increasing(dose, len(frames), "dose"))
    if isinstance(weights, str):
        weights = _by_noise(frames, motions)
    if recorded is not None:
        weights = recorded * _of_pixels(weights, frames.shape)
    return average(
        frames, motions, canvas=canvas, weights=weights, band_weights=bands, pixel_size=pixel_size
    )


def average_straight(
    aligned: AlignedStack,
    *,
    weights: ArrayLike | str | None,
    dose: ArrayLike | None,
    pixel_size: PixelSize | None,
) -> AveragedSeries:
    """Average frames that were aligned row by row, each where it holds data."""
    frames = np.asarray(aligned)
    still = [Motion((frames.shape[1], frames.shape[2]))] * len(frames)
    result = average_series(
        frames,
        still,
        canvas="first",
        weights=weights,
        recorded=aligned.mask,
        dose=dose,
        pixel_size=pixel_size,
    )
    return replace(result, origin=aligned.origin or (0, 0))


def motions_for(
    trajectory: pd.DataFrame, array: ArrayLike, frame_shape: tuple[int, int] | None
) -> list[Motion]:
    """Return the motions of frames in px of an array (n_frames, H, W, ...) of the same field."""
    check_value(frame_shape, "frame_shape", ["frame shape", None])
    shape = as_array(array, "array").shape
    if len(shape) < 3 or 0 in shape:
        raise ValueError(f"array has shape {shape}; pass (n_frames, H, W, ...).")
    side = (shape[1], shape[2])
    if frame_shape is None:
        return read_motions(trajectory, side, "trajectory")
    frame = (int(frame_shape[0]), int(frame_shape[1]))
    factor = max(side[axis] / frame[axis] for axis in (0, 1))
    # A last row that does not fill a pixel may be left out.
    if any(abs(side[axis] - factor * frame[axis]) >= 1 for axis in (0, 1)):
        raise ValueError(
            f"array has {side[0]} x {side[1]} px for frames of {frame[0]} x {frame[1]} px, which "
            f"is not the same field with square pixels; crop either of them."
        )
    motions = read_motions(trajectory, frame, "trajectory")
    return [motion.rescaled(factor, side) for motion in motions]


def recorded_pixels(stack: ArrayLike, frames: Float32Array) -> NDArray[np.bool_] | None:
    """Return which pixels of repaired frames are as they were recorded; None if all are."""
    values, missing = split_missing(stack, "stack")
    with np.errstate(over="ignore"):
        same = np.asarray(values, np.float32).reshape(frames.shape) == frames
    same &= ~np.asarray(missing).reshape(frames.shape)
    return None if same.all() else same


def _by_noise(frames: Float32Array, motions: Sequence[Motion]) -> NDArray[np.float64]:
    if len(frames) < 3:
        # Differences do not tell two frames apart, but their finest detail does.
        levels = np.array([noise_level(frame) for frame in frames])
        return 1 / levels**2 if (levels > 0).all() else np.ones(len(frames))
    return 1 / relative_noise(frames, motions)


def _of_pixels(weights: ArrayLike | None, shape: tuple[int, ...]) -> NDArray:
    """Return weights of frames in a shape that combines with those of pixels."""
    if weights is None:
        return np.ones((1, 1, 1))
    array = as_array(weights, "weights")
    if array.shape not in (shape[:1], shape) or array.dtype.kind not in "buif":
        raise ValueError(
            f"weights must be a number for each frame, or one for each pixel of shape {shape}; "
            f"got {shorten(weights)}."
        )
    return array.reshape(-1, 1, 1) if array.ndim == 1 else array
