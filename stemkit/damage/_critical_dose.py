"""The critical dose, after which 1/e of the signal at a place is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._repr import short_repr
from .._validation import Float32Array, check_frames, check_increasing

_ITERATIONS = 20


@dataclass(frozen=True, eq=False, repr=False)
class CriticalDose:
    """Map of the dose after which 1/e of the signal is left, and its standard error.

    Attributes
    ----------
    dose : ndarray of shape (H, W), float32
        In the unit of the given dose; inf where nothing decays.
    stderr : ndarray of shape (H, W), float32
        One standard deviation, from the residual of the fit, the first frame's noise included; inf
        where ``dose`` is, and everywhere if there is only one later frame, which leaves no
        residual. Errors that all maps share, such as their blur, are not included: actual errors
        may be half as large again.
    """

    dose: Float32Array
    stderr: Float32Array

    def __repr__(self) -> str:
        return short_repr(self)


def fit_critical_dose(decay: ArrayLike, dose: ArrayLike) -> CriticalDose:
    """Fit ``exp(-dose / D)`` to each pixel's decay by least squares.

    The decay is a ratio to the first frame, whose noise is therefore in every later one. It is
    absorbed by an amplitude that is fitted together with D; the 1 of the first frame is then one
    observation among others.

    Parameters
    ----------
    decay : array-like of shape (n_frames, H, W)
        Share of the first frame's signal; 1 for the first frame.
    dose : array-like of shape (n_frames,)
        Accumulated dose at each frame, increasing, in any unit.

    Returns
    -------
    CriticalDose
        Maps of D and of its standard error, in the unit of ``dose``.

    Raises
    ------
    ValueError
        If ``decay`` has less than two frames or is not finite, or ``dose`` does not increase.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.damage import fit_critical_dose
    >>> dose = np.linspace(0, 10, 5)
    >>> decay = np.exp(-dose / 4)[:, None, None] * np.ones((5, 2, 3))
    >>> fit_critical_dose(decay, dose).dose.round(2).tolist()
    [[4.0, 4.0, 4.0], [4.0, 4.0, 4.0]]
    """
    decay = check_frames(decay, name="decay", min_frames=2)
    dose = check_increasing(dose, len(decay), "dose")
    span = float(dose[-1] - dose[0])
    exposure = ((dose - dose[0]) / span)[:, None, None]
    # Row by row, since the fit needs many times the memory of its input.
    rows = [
        _fit_exponentials(decay[:, [y]].astype(np.float64), exposure) for y in range(len(decay[0]))
    ]
    rate, deviation = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    # The critical dose of a signal that does not fall is infinite.
    fades = rate > 1e-3
    with np.errstate(divide="ignore", invalid="ignore"):
        critical = np.where(fades, span / rate, np.inf)
        stderr = np.where(fades, span * deviation / rate**2, np.inf)
    return CriticalDose(critical.astype(np.float32), stderr.astype(np.float32))


def _fit_exponentials(
    signal: NDArray[np.float64], exposure: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rates of ``amplitude * exp(-rate * exposure)`` and their standard errors."""
    # The slope of the logarithm through the origin is a good start.
    start = -np.log(signal.clip(1e-3, None))
    rate = np.maximum((exposure * start).sum(axis=0) / (exposure**2).sum(), 0)
    for _ in range(_ITERATIONS):
        residual, slope = _linearised(rate, signal, exposure)
        step = (slope * residual).sum(axis=0) / np.maximum((slope**2).sum(axis=0), 1e-300)
        # Without a limit, steps diverge where the tail is flat.
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
    """Return the residual for the best amplitude, and its derivative with respect to the rate.

    The part that the amplitude compensates is projected out (variable projection).
    """
    model = np.exp(-rate * exposure)
    norm = (model**2).sum(axis=0)
    amplitude = (signal * model).sum(axis=0) / norm
    slope = -amplitude * exposure * model
    slope -= model * (slope * model).sum(axis=0) / norm
    return signal - amplitude * model, slope
