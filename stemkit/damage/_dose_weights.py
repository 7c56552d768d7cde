"""Weights of frames by dose and spatial frequency, from what the series itself loses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._motion import Motion
from .._validation import Float32Array
from ..registration._bands import split_bands
from ..registration._canvas import choose_canvas, source_of

N_BANDS = 9
# Decay rates that are tried, in the inverse of the range of doses.
_RATES = np.concatenate([[0.0], np.geomspace(0.02, 30, 120)])
# Standard errors from which structure is certain.
_CERTAIN = 3.0


def dose_weights(
    frames: Float32Array, motions: Sequence[Motion], dose: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the share of each band of spatial frequency that is left in each frame.

    Each band of a frame is multiplied with the mean of the other frames, whose noise is
    independent, and ``exp(-k dose)`` is fitted to the products. Weights in proportion to what is
    left give the best signal over noise. Where a band has no structure that can be measured, it
    fades as the one below it.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, H, W), float32
        The series, of at least three frames, with the same exposure.
    motions : sequence of Motion
        From the first frame to each.
    dose : ndarray of shape (n_frames,)
        Accumulated dose at each frame, increasing.

    Returns
    -------
    ndarray of shape (n_frames, N_BANDS)
        At equally spaced frequencies from 0 to 0.5 cycles per px; 1 in the first frame, and at the
        frequency 0, where the intensity of film and background stays.
    """
    products = _products(frames, motions)
    since = dose - dose[0]
    span = float(since[-1])
    rates = np.zeros(N_BANDS)
    for band in range(1, N_BANDS):
        rate = _decay_rate(products[:, band], since / span)
        rates[band] = rates[band - 1] if rate is None else rate / span
    return np.exp(-np.outer(since, rates))


def _products(frames: Float32Array, motions: Sequence[Motion]) -> NDArray[np.float64]:
    """Return the mean product of each frame with the mean of the others, (n_frames, N_BANDS)."""
    canvas = choose_canvas(motions, "first")
    total = np.zeros((N_BANDS, *canvas.shape))
    count = np.zeros(canvas.shape)
    for frame, motion in zip(frames, motions, strict=True):
        shown, bands = _aligned_bands(frame, motion)
        count += shown
        total += bands
    products = np.zeros((len(frames), N_BANDS))
    for index, (frame, motion) in enumerate(zip(frames, motions, strict=True)):
        shown, bands = _aligned_bands(frame, motion)
        shared = shown & (count > 1)
        if shared.any():
            others = (total - bands)[:, shared] / (count[shared] - 1)
            products[index] = np.mean(others * bands[:, shared], axis=1)
    return products


def _aligned_bands(
    frame: Float32Array, motion: Motion
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    canvas = choose_canvas([motion], "first")
    source = source_of(motion, canvas, canvas.whole())
    shown = source.is_inside(motion.shape)
    bands = [source.sample(band, order=3) * shown for band in split_bands(frame, N_BANDS)]
    return shown, np.array(bands, dtype=float)


def _decay_rate(products: NDArray[np.float64], since: NDArray[np.float64]) -> float | None:
    """Fit the rate at which a band fades; None if it has no structure that can be measured."""
    left = np.exp(-np.outer(_RATES, since))
    expected = left * (left.sum(axis=1, keepdims=True) - left)
    scale = (expected @ products) / (expected**2).sum(axis=1)
    squares = ((products - scale[:, np.newaxis] * expected) ** 2).sum(axis=1)
    best = int(squares.argmin())
    error = np.sqrt(squares[best] / max(len(products) - 2, 1) / (expected[best] ** 2).sum())
    return float(_RATES[best]) if scale[best] > _CERTAIN * error else None
