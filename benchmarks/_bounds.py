"""Lower bounds of the errors of the decay, set by shot noise.

The counts of a pixel are n1 ~ Poisson(D (S + b)) and n2 ~ Poisson(D (decay S + b)), where the
background b is known and the signal S is not. The Fisher information of a pixel on its decay is
D S^2 / ((decay S + b) + decay^2 (S + b)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# Mean absolute deviation of a normal distribution, in standard deviations.
_MEAN_ABSOLUTE = np.sqrt(2 / np.pi)
# Side in px of the cells of the noise of "perlin" and "random" damage.
_CELL = {"perlin": 64.0, "random": 16.0}


def information(signal: NDArray, background: NDArray, decay: NDArray, dose: float) -> NDArray:
    """Return the Fisher information of every pixel on its decay."""
    variance = (decay * signal + background) + decay**2 * (signal + background)
    return dose * signal.astype(float) ** 2 / np.maximum(variance, 1e-12)


def amplitude_bound(info: NDArray, pattern: NDArray) -> float:
    """Return the Cramér-Rao bound of the strength of a known pattern, as a mean absolute error."""
    return float(_MEAN_ABSOLUTE / np.sqrt((info * pattern**2).sum()))


def hole_bound(info: NDArray, pattern: NDArray, strength: float, where: NDArray) -> float:
    """Return the Cramér-Rao bound of the map of a Gaussian hole of unknown depth and width."""
    # d exp(-r^2 / 2 s^2) / d log s is -2 p log p.
    safe = pattern.astype(float).clip(1e-12)
    slopes = np.stack([safe, -2 * strength * safe * np.log(safe)])[:, where]
    # Without damage the width is undetermined.
    used = slopes[: 2 if strength > 0 else 1]
    covariance = np.linalg.inv((used * info[where]) @ used.T)
    variance = np.einsum("ip,ij,jp->p", used, covariance, used)
    return float(_MEAN_ABSOLUTE * np.sqrt(variance).mean())


def noise_bound(
    info: NDArray, pattern: NDArray, strength: float, where: NDArray, kind: str
) -> tuple[float, float]:
    """Return the Bayesian bounds of the map and of its amplitude, for noise of known statistics.

    Known are the cell and the variance of the noise, and the displacement of the rows. The pattern
    is a cubic spline through independent values at the corners of its cells. The bound of the map
    is the mean absolute deviation of normal values that have the variance of the posterior.

    The second value is the difference between the true strength and the amplitude of the posterior
    mean, the map of least squared error. That amplitude is too small, since the posterior mean
    shrinks toward the mean of the prior: E[map * truth] = E[map^2], the mean square of the truth
    minus the variance of the posterior.
    """
    cell = _CELL[kind]
    along_y, along_x = (_spline(side, cell) for side in info.shape)
    design = sparse.kron(along_y, along_x, format="csr")
    corner = [_corner_precision(basis.shape[1]) for basis in (along_y, along_x)]
    precision = np.kron(*corner)
    sampled = np.zeros(info.shape, dtype=bool)
    sampled[::3, ::3] = where[::3, ::3]
    rows = design[sampled.ravel()]

    def variance(covariance: NDArray) -> NDArray:
        return np.asarray(rows.multiply(rows @ covariance).sum(axis=1)).ravel()

    prior = variance(np.linalg.inv(precision)).mean()
    scale = max(strength, 1e-3) ** 2 * float(pattern[where].var()) / prior
    weighted = (design.T @ design.multiply((info * where).reshape(-1, 1))).toarray()
    posterior = variance(np.linalg.inv(weighted + precision / scale))
    lost = posterior.mean() / (max(strength, 1e-3) * (pattern[sampled].astype(float) ** 2).mean())
    return float(_MEAN_ABSOLUTE * np.sqrt(posterior).mean()), float(lost)


def _spline(side: int, cell: float) -> sparse.csr_matrix:
    """Return the cubic B-splines of one axis, one per cell, at its pixels: (side, n_splines)."""
    place = np.arange(side)[:, None] / cell + 1 - np.arange(int(np.ceil(side / cell)) + 3)
    u = np.abs(place)
    inner, outer = 2 / 3 - u**2 + u**3 / 2, (2 - u.clip(max=2)) ** 3 / 6
    return sparse.csr_matrix(np.where(u < 1, inner, outer))


def _corner_precision(n: int) -> NDArray:
    """Return the precision matrix of spline coefficients for independent values at the corners."""
    values = (2 / 3) * np.eye(n) + (1 / 6) * (np.eye(n, k=1) + np.eye(n, k=-1))
    return values.T @ values
