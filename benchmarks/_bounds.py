"""Errors of the decay that shot noise allows at best, to somebody who is told nearly everything.

Each pixel gives n1 ~ Poisson(D (S + b)) and n2 ~ Poisson(D (decay S + b)). The background b is
told, the signal S is not. The information on the decay of a pixel is then
D S^2 / ((decay S + b) + decay^2 (S + b)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# Mean absolute deviation of a normal distribution, in standard deviations.
_MEAN_ABSOLUTE = np.sqrt(2 / np.pi)
# The noise of "perlin" and "random" damage: cells of so many px.
_CELL = {"perlin": 64.0, "random": 16.0}


def information(signal: NDArray, background: NDArray, decay: NDArray, dose: float) -> NDArray:
    """Fisher information of every pixel on its decay."""
    variance = (decay * signal + background) + decay**2 * (signal + background)
    return dose * signal.astype(float) ** 2 / np.maximum(variance, 1e-12)


def amplitude_bound(info: NDArray, pattern: NDArray) -> float:
    """Cramér-Rao bound of the strength of a known pattern, as a mean absolute error."""
    return float(_MEAN_ABSOLUTE / np.sqrt((info * pattern**2).sum()))


def hole_bound(info: NDArray, pattern: NDArray, strength: float, where: NDArray) -> float:
    """Cramér-Rao bound of the map, of a Gaussian hole whose depth and width alone are unknown."""
    # d exp(-r^2 / 2 s^2) / d log s is -2 p log p.
    safe = pattern.astype(float).clip(1e-12)
    slopes = np.stack([safe, -2 * strength * safe * np.log(safe)])[:, where]
    # Without any damage there is no width to tell.
    used = slopes[: 2 if strength > 0 else 1]
    covariance = np.linalg.inv((used * info[where]) @ used.T)
    variance = np.einsum("ip,ij,jp->p", used, covariance, used)
    return float(_MEAN_ABSOLUTE * np.sqrt(variance).mean())


def noise_bound(
    info: NDArray, pattern: NDArray, strength: float, where: NDArray, kind: str
) -> tuple[float, float]:
    """Bayes bound of the map, of noise whose cell, variance and rows' displacement are known.

    The pattern is a cubic spline through independent values at the corners of its cells; the bound
    is the posterior's mean absolute deviation, that of normal values with the same variance.

    With it comes how far the amplitude of that best map, the posterior's mean, is below the true
    strength: of what a map cannot tell it shows the mean, and E[map * truth] is E[map^2], the
    truth's square less the posterior's variance. A map with a smaller error of the amplitude
    overstates what it is sure of.
    """
    cell = _CELL[kind]
    along_y, along_x = (_spline(side, cell) for side in info.shape)
    design = sparse.kron(along_y, along_x, format="csr")
    corner = [_corner_precision(basis.shape[1]) for basis in (along_y, along_x)]
    precision = np.kron(*corner)
    some = np.zeros(info.shape, dtype=bool)
    some[::3, ::3] = where[::3, ::3]
    rows = design[some.ravel()]

    def variance(covariance: NDArray) -> NDArray:
        return np.asarray(rows.multiply(rows @ covariance).sum(axis=1)).ravel()

    usual = variance(np.linalg.inv(precision)).mean()
    scale = max(strength, 1e-3) ** 2 * float(pattern[where].var()) / usual
    weighted = (design.T @ design.multiply((info * where).reshape(-1, 1))).toarray()
    posterior = variance(np.linalg.inv(weighted + precision / scale))
    lost = posterior.mean() / (max(strength, 1e-3) * (pattern[some].astype(float) ** 2).mean())
    return float(_MEAN_ABSOLUTE * np.sqrt(posterior).mean()), float(lost)


def _spline(side: int, cell: float) -> sparse.csr_matrix:
    """Cubic B-splines a cell apart at the pixels of one axis, (side, n_splines)."""
    place = np.arange(side)[:, None] / cell + 1 - np.arange(int(np.ceil(side / cell)) + 3)
    u = np.abs(place)
    inner, outer = 2 / 3 - u**2 + u**3 / 2, (2 - u.clip(max=2)) ** 3 / 6
    return sparse.csr_matrix(np.where(u < 1, inner, outer))


def _corner_precision(n: int) -> NDArray:
    """Precision of the splines' coefficients where values at the corners are independent."""
    values = (2 / 3) * np.eye(n) + (1 / 6) * (np.eye(n, k=1) + np.eye(n, k=-1))
    return values.T @ values
