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
        One standard deviation, from how well the exponential fits, with the first frame's noise;
        inf where ``dose`` is, and where a single later frame leaves nothing to judge the fit by.
        What all maps share, as their blur, is not in it: errors may be half as large again.
    """

    dose: Float32Array
    stderr: Float32Array


def fit_critical_dose(decay: Float32Array, dose: NDArray[np.float64]) -> CriticalDose:
    """Fit ``exp(-dose / D)`` to each pixel's decay by least squares.

    The decay is a ratio to the first frame, whose noise is therefore in every later one. An
    amplitude that is fitted beside D takes it up; the first frame's 1 then is a datum like others.

    Parameters
    ----------
    decay : ndarray of shape (n_frames, H, W), float32
        Share of the first frame's signal; 1 for the first frame.
    dose : ndarray of shape (n_frames,)
        Accumulated dose, rising.

    Returns
    -------
    CriticalDose
    """
    span = float(dose[-1] - dose[0])
    exposure = ((dose - dose[0]) / span)[:, None, None]
    # Row by row, since the fit needs many times the memory of what it is given.
    rows = [
        _fit_exponentials(decay[:, [y]].astype(np.float64), exposure) for y in range(len(decay[0]))
    ]
    rate, deviation = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    # A signal that never falls, or rises, has no critical dose that these data could tell.
    fades = rate > 1e-3
    with np.errstate(divide="ignore", invalid="ignore"):
        critical = np.where(fades, span / rate, np.inf)
        stderr = np.where(fades, span * deviation / rate**2, np.inf)
    return CriticalDose(critical.astype(np.float32), stderr.astype(np.float32))


def _fit_exponentials(
    signal: NDArray[np.float64], exposure: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rates of ``amplitude * exp(-rate * exposure)`` and their standard errors."""
    # The logarithm's slope through the origin is near enough to start from.
    start = -np.log(signal.clip(1e-3, None))
    rate = np.maximum((exposure * start).sum(axis=0) / (exposure**2).sum(), 0)
    for _ in range(_ITERATIONS):
        residual, slope = _linearised(rate, signal, exposure)
        step = (slope * residual).sum(axis=0) / np.maximum((slope**2).sum(axis=0), 1e-300)
        # Steps no larger than what the data can tell keep flat tails from running away.
        limit = 0.5 * np.maximum(rate, 0.1)
        rate = np.maximum(rate + step.clip(-limit, limit), 0)
    residual, slope = _linearised(rate, signal, exposure)
    degrees = len(exposure) - 2
    variance = (residual**2).sum(axis=0) / degrees if degrees else np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        return rate, np.sqrt(variance / (slope**2).sum(axis=0))


def _linearised(
    rate: NDArray[np.float64], signal: NDArray[np.float64], exposure: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what the best amplitude leaves of the signal, and how the model goes with the rate.

    The slope is less what the amplitude makes up for (variable projection).
    """
    model = np.exp(-rate * exposure)
    norm = (model**2).sum(axis=0)
    amplitude = (signal * model).sum(axis=0) / norm
    slope = -amplitude * exposure * model
    slope -= model * (slope * model).sum(axis=0) / norm
    return signal - amplitude * model, slope
