"""The critical dose: how fast each place's signal decays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._validation import Float32Array

_ITERATIONS = 20


@dataclass(frozen=True, eq=False)
class CriticalDose:
    """Map of the dose after which 1/e of the signal is left, and its standard error.

    Attributes
    ----------
    dose : ndarray of shape (H, W), float32
        In the units of the dose that was given; inf where nothing decays.
    stderr : ndarray of shape (H, W), float32
        One standard deviation, from how well the exponential fits; inf where ``dose`` is, and
        where a single later frame leaves nothing to judge the fit by.
    """

    dose: Float32Array
    stderr: Float32Array


def fit_critical_dose(decay: Float32Array, dose: NDArray[np.float64]) -> CriticalDose:
    """Fit ``exp(-dose / D)`` to each pixel's decay by least squares.

    Parameters
    ----------
    decay : ndarray of shape (n_frames, H, W), float32
        Share of the first frame's signal; the first frame itself, 1 by definition, is no datum.
    dose : ndarray of shape (n_frames,)
        Accumulated dose, rising.

    Returns
    -------
    CriticalDose
    """
    exposure = (dose[1:] - dose[0])[:, None, None]
    signal = decay[1:].astype(np.float64)
    # The logarithm's slope through the origin is near enough to start from.
    start = -np.log(signal.clip(1e-3, None))
    rate = (exposure * start).sum(axis=0) / (exposure**2).sum()
    rate = np.maximum(rate, 0)
    for _ in range(_ITERATIONS):
        model = np.exp(-rate * exposure)
        slope = -exposure * model
        step = (slope * (signal - model)).sum(axis=0) / np.maximum((slope**2).sum(axis=0), 1e-300)
        # Steps no larger than what the data can tell keep flat tails from running away.
        limit = 0.5 * np.maximum(rate, 0.1 / exposure.max())
        rate = np.maximum(rate + step.clip(-limit, limit), 0)
    model = np.exp(-rate * exposure)
    curvature = ((exposure * model) ** 2).sum(axis=0)
    degrees = len(exposure) - 1
    variance = ((signal - model) ** 2).sum(axis=0) / degrees if degrees else np.inf
    # A signal that never falls, or rises, has no critical dose that these data could tell.
    fades = rate * exposure.max() > 1e-3
    with np.errstate(divide="ignore", invalid="ignore"):
        critical = np.where(fades, 1 / rate, np.inf)
        stderr = np.where(fades, np.sqrt(variance / curvature) / rate**2, np.inf)
    return CriticalDose(critical.astype(np.float32), stderr.astype(np.float32))
