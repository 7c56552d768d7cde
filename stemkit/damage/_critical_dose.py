"""The critical dose, after which 1/e of the signal at a place is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from .._repr import short_repr
from .._validation import Float32Array, check_frames, check_increasing

_ITERATIONS = 20
# Probability of the limits.
LEVEL = 0.95
# Relative standard error of a float32, which decay maps are rounded to.
_ROUNDING = float(np.finfo(np.float32).eps) / np.sqrt(12)


@dataclass(frozen=True, eq=False, repr=False)
class CriticalDose:
    """Map of the dose after which 1/e of the signal is left, with its error and its limits.

    Attributes
    ----------
    dose : ndarray of shape (H, W), float32
        In the unit of the given dose; inf where nothing decays, or there is no signal at all.
    stderr : ndarray of shape (H, W), float32
        One standard deviation, from the residual of the fit, the first frame's noise included, and
        from the standard errors of the decay if they were given; inf where ``dose`` is, and
        everywhere if there is only one later frame and no standard error. Errors that all maps
        share, such as their blur, are included only with standard errors; without, actual errors
        may be half as large again.
    lower_limit, upper_limit : ndarray of shape (H, W), float32, or None
        The dose is above the first, with a probability of 95 %, and below the second. Where the
        decay is not certain, ``upper_limit`` is inf, and ``lower_limit``, which is always finite,
        is what is known. It is 0 where the signal may be lost at once, and where nothing is known.
    """

    dose: Float32Array
    stderr: Float32Array
    lower_limit: Float32Array | None = None
    upper_limit: Float32Array | None = None

    def __repr__(self) -> str:
        shown = short_repr(self)
        if self.lower_limit is None or self.upper_limit is None:
            return shown
        unlimited = np.isinf(self.upper_limit)
        if not unlimited.any():
            return shown
        above = float(np.median(self.lower_limit[unlimited]))
        return (
            f"{shown[:-1]}; no upper limit in {unlimited.mean():.0%} of the places: "
            f"above {above:.3g} at 95 % (median))"
        )


def fit_critical_dose(
    decay: ArrayLike, dose: ArrayLike, *, stderr: ArrayLike | None = None
) -> CriticalDose:
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
    stderr : array-like of shape (n_frames, H, W), optional
        Standard error of the decay, by which frames are weighted at each pixel. That of the first
        frame is not used: its noise counts as that of the best later one.

    Returns
    -------
    CriticalDose
        Maps of D, of its standard error and of its limits, in the unit of ``dose``.

    Raises
    ------
    ValueError
        If ``decay`` has less than two frames or is not finite, ``dose`` does not increase, or
        ``stderr`` has another shape or is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.damage import fit_critical_dose
    >>> dose = np.linspace(0, 10, 5)
    >>> decay = np.exp(-dose / 4)[:, None, None] * np.ones((5, 2, 3))
    >>> fit_critical_dose(decay, dose).dose.round(2).tolist()
    [[4.0, 4.0, 4.0], [4.0, 4.0, 4.0]]

    Of a specimen that does not decay, the dose has a lower limit alone:

    >>> undamaged = np.random.default_rng(0).normal(1, 0.02, (5, 20, 30))
    >>> fit = fit_critical_dose(undamaged, dose, stderr=np.full(undamaged.shape, 0.02))
    >>> bool(np.median(fit.lower_limit) > 100), bool(np.isinf(np.median(fit.upper_limit)))
    (True, True)
    """
    decay = check_frames(decay, name="decay", min_frames=2)
    dose = check_increasing(dose, len(decay), "dose")
    errors = None if stderr is None else _check_errors(stderr, decay.shape)
    span = float(dose[-1] - dose[0])
    exposure = ((dose - dose[0]) / span)[:, None, None]
    # Row by row, since the fit needs many times the memory of its input.
    rows = [
        _fit_exponentials(
            decay[:, [y]].astype(np.float64),
            exposure,
            None if errors is None else errors[:, [y]].astype(np.float64),
        )
        for y in range(len(decay[0]))
    ]
    rate, deviation, at_once = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    # Without standard errors, the spread is estimated from few residuals.
    degrees = len(decay) - 2
    if errors is not None:
        quantile = float(special.ndtri(LEVEL))
    else:
        quantile = float(special.stdtrit(degrees, LEVEL)) if degrees else np.inf
    # The critical dose of a signal that does not fall is infinite.
    fades = rate > 1e-3
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        critical = np.where(fades, span / rate, np.inf)
        error = np.where(fades, span * deviation / rate**2, np.inf)
        lower = np.where(at_once, 0, span / (rate + quantile * deviation))
        lower = np.minimum(lower, np.finfo(np.float32).max)
        least = rate - quantile * deviation
        upper = np.where(fades & (least > 0), span / least, np.inf)
        maps = [values.astype(np.float32) for values in (critical, error, lower, upper)]
    return CriticalDose(*maps)


def _check_errors(stderr: ArrayLike, shape: tuple[int, ...]) -> Float32Array:
    """Check standard errors, and give the first frame, which has none, the least of the others."""
    errors = check_frames(stderr, name="stderr", min_frames=2)
    if errors.shape != shape:
        raise ValueError(
            f"stderr has shape {errors.shape}, but decay has {shape}; pass one for each number."
        )
    if (errors[1:] <= 0).any():
        raise ValueError(
            "stderr must be positive after the first frame; pass the standard errors that "
            "decay_maps(return_stderr=True) returned."
        )
    return np.concatenate([errors[1:].min(axis=0, keepdims=True), errors[1:]])


def _fit_exponentials(
    signal: NDArray[np.float64],
    exposure: NDArray[np.float64],
    errors: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Fit ``amplitude * exp(-rate * exposure)`` to each pixel.

    Returns the rates, their standard errors, and whether all signal after the first frame may be
    lost.
    """
    weight = np.ones_like(signal) if errors is None else errors**-2
    # The slope of the logarithm through the origin is a good start.
    start = -np.log(signal.clip(1e-3, None))
    rate = (weight * exposure * start).sum(axis=0) / (weight * exposure**2).sum(axis=0)
    rate = np.maximum(rate, 0)
    for _ in range(_ITERATIONS):
        residual, slope = _linearised(rate, signal, exposure, weight)
        step = (weight * slope * residual).sum(axis=0)
        step = step / np.maximum((weight * slope**2).sum(axis=0), 1e-300)
        # Without a limit, steps diverge where the tail is flat.
        limit = 0.5 * np.maximum(rate, 0.1)
        rate = np.maximum(rate + step.clip(-limit, limit), 0)
    residual, slope = _linearised(rate, signal, exposure, weight)
    degrees = len(exposure) - 2
    variance = (weight * residual**2).sum(axis=0) / max(degrees, 1)
    if errors is not None:
        # Errors that the maps share leave no residual.
        variance = np.maximum(variance, 1.0) if degrees else np.ones_like(rate)
    elif not degrees:
        variance = np.full_like(rate, np.inf)
    # The residual of numbers that agree exactly, as of integers, is that of their rounding.
    rounding = (_ROUNDING * signal) ** 2
    variance = np.maximum(variance, (weight * rounding).mean(axis=0))
    lost = (weight[1:] * signal[1:] ** 2).sum(axis=0)
    certain = float(special.ndtri(LEVEL)) ** 2
    at_once = lost <= (weight * residual**2).sum(axis=0) + certain * variance
    information = (weight * slope**2).sum(axis=0)
    # Without signal, or without signal after the first frame, nothing is known of the rate.
    told = information > 0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        deviation = np.where(told, np.sqrt(variance / information), np.inf)
    rate = np.where(signal.any(axis=0), rate, 0)
    return rate, deviation, at_once


def _linearised(
    rate: NDArray[np.float64],
    signal: NDArray[np.float64],
    exposure: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the residual for the best amplitude, and its derivative with respect to the rate.

    The part that the amplitude compensates is projected out (variable projection).
    """
    model = np.exp(-rate * exposure)
    norm = (weight * model**2).sum(axis=0)
    amplitude = (weight * signal * model).sum(axis=0) / norm
    slope = -amplitude * exposure * model
    slope -= model * (weight * slope * model).sum(axis=0) / norm
    return signal - amplitude * model, slope
