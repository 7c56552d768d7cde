"""Frames as the decay explains them: aligned, without their local mean, and in between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._motion import Motion, coverage, warp
from .._validation import Float32Array
from ..registration._binning import bin_frame, unbin_map
from ._synthetic_pairs import WINDOW


def align(second: Float32Array, motion: Motion) -> tuple[Float32Array, NDArray[np.bool_]]:
    back = motion.inverse()
    return warp(second, back, fill="reflect"), coverage(back)


def structure(frame: Float32Array) -> Float32Array:
    """Frame less its local mean, with the finest noise smoothed away."""
    return ndimage.gaussian_filter(frame, 1.0) - ndimage.gaussian_filter(frame, WINDOW)


def explained_share(
    first: Float32Array, aligned: Float32Array, decay: Float32Array, inside: NDArray[np.bool_]
) -> float:
    """R^2 of the second frame's structure, explained by the first one's and the decay."""
    there, seen = structure(first), structure(aligned)
    if not seen[inside].any():
        return 0.0
    residual = seen - decay * there
    return 1 - float((residual[inside] ** 2).sum() / (seen[inside] ** 2).sum())


def mean_over_specimen(first: Float32Array, damage: Float32Array) -> float:
    """Mean of the damage weighted by the first frame's local contrast: vacuum has no say."""
    weight = ndimage.gaussian_filter(structure(first) ** 2, WINDOW)
    total = float(weight.sum(dtype=np.float64))
    return float((weight * damage).sum(dtype=np.float64) / total) if total > 0 else 0.0


def predict_frames(
    first: Float32Array,
    aligned: Float32Array,
    overlap: NDArray[np.bool_],
    decay: Float32Array,
    motion: Motion,
    times: NDArray[np.float64],
    binning: int,
) -> Float32Array:
    """Draw the frames in between: structure fades by the decay, the local mean goes over.

    Damaged material need not go dark: what has lost its lattice may keep its mean intensity. So
    the local mean runs from the first frame's to the second's, as it was seen there.
    """

    def local_mean(frame: Float32Array) -> Float32Array:
        # What is so smooth needs no more px than the binned frame has.
        smooth = ndimage.gaussian_filter(bin_frame(frame, binning), WINDOW)
        return unbin_map(smooth, binning, frame.shape)

    mean = local_mean(first)
    later = np.where(overlap, local_mean(aligned), mean)
    frames = np.empty((len(times), *first.shape), dtype=np.float32)
    for index, t in enumerate(times):
        share = np.float32(t)
        faded = mean + share * (later - mean) + decay[index] * (first - mean)
        frames[index] = first if t == 0 else warp(faded, motion.at(float(t)))
    return frames
