"""Random shifts of single rows along the fast axis, on top of a smooth path."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._row_fit import RowFit

Float64Array = NDArray[np.float64]

# Largest shift in px, and the number of steps of a px.
_REACH, _FINER = 12, 4
_FIRST_SIGMA, _LEAST_SIGMA = 1.0, 0.05
# Standard deviation in px of what a row moves along the slow axis, where jitter is small.
_SLOW_SIGMA = 0.5
_N_ROUNDS = 10
# Largest step of a row in px after its likeliest shift.
_MAX_STEP = 0.7
_NEAR = 1.0
# Least difference of the log-likelihoods of a row that shows anything.
_CLEAR = 4.0


class Jitter(NamedTuple):
    """Standard deviation of the shifts of rows in px, and what held-out columns gain by them.

    The gain is the median over the frames of the sum over their rows.
    """

    sigma: float
    gain: float


class JitterFit(NamedTuple):
    """Shifts of the rows of all frames.

    Attributes
    ----------
    sigma : float
        Standard deviation of the shifts in px.
    variance : ndarray of shape (n_frames, H, 2)
        Variance of each row's displacement in px^2.
    probability : ndarray of shape (n_frames, H)
        Probability that a row is not off by more than 1 px, if the average of the others is right.
    """

    sigma: float
    variance: Float64Array
    probability: Float64Array


def measure_jitter(fit: RowFit) -> Jitter:
    """Estimate the jitter, and what held-out columns gain by it."""
    shifts = _shifts()
    likelihoods = [
        fit.shift_likelihoods(index, fit.expected(index), fit.paths[index], _REACH, _FINER)
        for index in range(len(fit))
    ]
    sigma = _FIRST_SIGMA
    for _ in range(_N_ROUNDS):
        sigma = _robust_sigma([_likeliest(both.sum(0), sigma) for both in likelihoods])
    prior = _prior(sigma)
    gains = []
    for both in likelihoods:
        gain = 0.0
        for held, other in ((0, 1), (1, 0)):
            best = np.argmax(both[other] + prior, axis=1)
            rows = np.arange(len(best))
            gain += float(np.sum(both[held][rows, best] - both[held][:, len(shifts) // 2]))
        gains.append(gain)
    # A frame whose path is off by a lattice vector in places gains much, the others nothing.
    return Jitter(sigma, float(np.median(gains)))


def fit_jitter(fit: RowFit, sigma: float, basis: Float64Array) -> JitterFit:
    """Shift single rows of all frames to where they fit the average of the others best."""
    shifts = _shifts()
    project = basis @ np.linalg.pinv(basis)
    first_paths = fit.paths.copy()
    damping = (len(fit) - 1) / len(fit)
    variance = np.zeros_like(fit.paths)
    probability = np.ones(fit.paths.shape[:2])
    for _ in range(_N_ROUNDS):
        found = []
        precision = np.diag([1 / min(_SLOW_SIGMA, sigma) ** 2, 1 / sigma**2])
        for index in range(len(fit)):
            # All rows could slip together bit by bit, if nothing held the smooth path.
            smooth = (first_paths[index] + project @ fit.paths[index]) / 2
            expected = fit.expected(index)
            both = fit.shift_likelihoods(index, expected, smooth, _REACH, _FINER)
            posterior = _posterior(both.sum(0), sigma)
            found.append(_likeliest(both.sum(0), sigma))
            likeliest = shifts[np.argmax(posterior, axis=1)]
            near = posterior * (np.abs(shifts - likeliest[:, None]) <= _NEAR)
            probability[index] = near.sum(axis=1)
            path = smooth.copy()
            path[:, 1] += near @ shifts / probability[index]
            # A Gauss-Newton step of each row, which the prior holds near the smooth path.
            even, odd = fit.linearise(index, expected, path)
            normal = even + odd
            matrix = normal.matrix + precision
            vector = normal.vector - (path - smooth) @ precision
            step = np.linalg.solve(matrix, vector[..., None])[..., 0]
            path += np.clip(step, -_MAX_STEP, _MAX_STEP)
            inverse = np.linalg.inv(matrix)
            variance[index] = np.stack([inverse[:, 0, 0], inverse[:, 1, 1]], -1)
            fit.move(index, fit.paths[index] + damping * (path - fit.paths[index]))
        sigma = _robust_sigma(found)
    return JitterFit(sigma, variance, probability)


def _likeliest(likelihood: Float64Array, sigma: float) -> Float64Array:
    """Return the likeliest shift of each row that shows anything."""
    clear = np.ptp(likelihood, axis=1) > _CLEAR
    return _shifts()[np.argmax(likelihood[clear] + _prior(sigma), axis=1)]


def _robust_sigma(shifts: list[Float64Array]) -> float:
    """Return the standard deviation of shifts, of which a few are off by a lattice vector."""
    values = np.abs(np.concatenate(shifts))
    return max(float(np.median(values)) / 0.6745, _LEAST_SIGMA) if len(values) else _LEAST_SIGMA


def _shifts() -> Float64Array:
    return np.arange(-_REACH * _FINER, _REACH * _FINER + 1) / _FINER


def _prior(sigma: float) -> Float64Array:
    return -0.5 * (_shifts() / sigma) ** 2


def _posterior(likelihood: Float64Array, sigma: float) -> Float64Array:
    total = likelihood + _prior(sigma)
    posterior = np.exp(total - total.max(axis=1, keepdims=True))
    return posterior / posterior.sum(axis=1, keepdims=True)
