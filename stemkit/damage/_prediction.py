"""Frames predicted from the first frame, the decay and the motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._motion import Motion
from .._validation import Float32Array, check_pair, rescale_to_float32
from ..registration._binning import bin_frame, unbin_map
from ..registration._warping import warp
from ._normalization import WINDOW

# Standard deviation of values from place to place, in averages by their standard errors.
_PLACES_DIFFER = 0.1


def explained_share(
    first: Float32Array, aligned: Float32Array, decay: Float32Array, overlap: NDArray[np.bool_]
) -> float:
    """Return R^2 of the second frame's structure, predicted from the first one's and the decay."""
    reference, observed = _structure(first), _structure(aligned)
    if not observed[overlap].any():
        return 0.0
    residual = observed - decay * reference
    return 1 - float((residual[overlap] ** 2).sum() / (observed[overlap] ** 2).sum())


def mean_over_specimen(
    first: Float32Array,
    values: Float32Array,
    where: NDArray[np.bool_] | None = None,
    stderr: Float32Array | None = None,
) -> float:
    """Average a map over the specimen.

    Pixels are weighted by the local variance of the first frame's structure, so that vacuum and
    bare film hardly count, and less where the map is uncertain.

    Parameters
    ----------
    first : ndarray of shape (H, W), float32
        First frame of the pair or series.
    values : ndarray of shape (H, W), float32
        Map to average, such as the damage.
    where : ndarray of shape (H, W), bool, optional
        Pixels to average over, such as those where both frames hold data; by default all.
    stderr : ndarray of shape (H, W), float32, optional
        Standard error of the map. Its inverse square is a factor of the weights, with 0.1 added in
        quadrature, since values differ from place to place.

    Returns
    -------
    float
        The weighted mean; 0 if the frame has no structure.

    Raises
    ------
    ValueError
        If the arrays are not finite or differ in shape.

    Examples
    --------
    >>> from stemkit.damage import mean_over_specimen
    >>> from stemkit.datasets import make_damage_sequence
    >>> series = make_damage_sequence("gaussian", 3, shape=(64, 64), random_state=0)
    >>> [mean_over_specimen(series.frames[0], 1 - decay) > 0.05 for decay in series.decay]
    [False, True, True]
    """
    first, values = check_pair([first, values], name="(first, values)")
    (first, _), (values, unit) = rescale_to_float32(first), rescale_to_float32(values)
    weight = ndimage.gaussian_filter(_structure(first) ** 2, WINDOW)
    if where is not None:
        if np.shape(where) != first.shape:
            raise ValueError(
                f"where has shape {np.shape(where)}, but first has {first.shape}; pass one bool "
                f"for each pixel."
            )
        weight = weight * np.asarray(where, dtype=bool)
    if stderr is not None:
        _, stderr = check_pair([first, stderr], name="(first, stderr)")
        weight = weight / (1 + (stderr / _PLACES_DIFFER) ** 2)
    total = float(weight.sum(dtype=np.float64))
    if total == 0:
        return 0.0
    return float((weight * values).sum(dtype=np.float64) / total) * float(unit)


def _structure(frame: Float32Array) -> Float32Array:
    """Subtract the local mean of a frame, and smooth its finest noise."""
    return ndimage.gaussian_filter(frame, 1.0) - ndimage.gaussian_filter(frame, WINDOW)


def predict_frames(
    first: Float32Array,
    aligned: Float32Array,
    overlap: NDArray[np.bool_],
    decay: Float32Array,
    motion: Motion,
    times: NDArray[np.float64],
    binning: int,
) -> Float32Array:
    """Predict the frames at times between the first and the second.

    Structure fades with the decay. The local mean changes linearly from the first frame's to the
    second's, since damaged material may lose its lattice and keep its mean intensity.

    Parameters
    ----------
    first, aligned : ndarray of shape (H, W), float32
        The first frame, and the second aligned to it.
    overlap : ndarray of shape (H, W), bool
        Where the second frame holds data.
    decay : ndarray of shape (n_times, H, W), float32
        Decay at each time.
    motion : Motion
        From the first frame to the second.
    times : ndarray of shape (n_times,)
        Times between 0 and 1.
    binning : int
        Binning at which the local means are computed, to save time.

    Returns
    -------
    ndarray of shape (n_times, H, W), float32
    """

    def local_mean(frame: Float32Array) -> Float32Array:
        mean = ndimage.gaussian_filter(bin_frame(frame, binning), WINDOW)
        return unbin_map(mean, binning, (frame.shape[0], frame.shape[1]))

    first_mean = local_mean(first)
    second_mean = np.where(overlap, local_mean(aligned), first_mean)
    frames = np.empty((len(times), *first.shape), dtype=np.float32)
    for index, t in enumerate(times):
        mean = first_mean + np.float32(t) * (second_mean - first_mean)
        faded = mean + decay[index] * (first - first_mean)
        frames[index] = first if t == 0 else warp(faded, motion.at(float(t)))
    return frames
