"""Fit how noise grows with the signal: a line through standard deviations, or variances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

# The power of the variance that grows linearly with the signal.
STANDARD_DEVIATION, VARIANCE = 0.5, 1.0


@dataclass(frozen=True)
class VariancePoints:
    """Measured variances: ``dof`` times each over the true one is chi-square distributed."""

    intensity: Floats
    intensity_stderr: Floats
    variance: Floats
    dof: Floats
    spread: Floats
    """Variance of the true intensities of a point's pixels."""


@dataclass(frozen=True)
class LawFit:
    """The line ``variance ** power = slope * intensity + intercept``, and its residuals."""

    slope: float
    intercept: float
    covariance: Floats
    expected: Floats
    """Variance of each point."""
    stderr: Floats
    """Standard error of each point's variance, its intensity's uncertainty included."""
    chi2: float
    dof: int

    def intercept_at(self, slope: float) -> float:
        """Return the most likely intercept for a known slope."""
        return self.intercept + self.covariance[0, 1] / self.covariance[0, 0] * (slope - self.slope)

    def p_value(self, points: VariancePoints, tolerance: float) -> float:
        """Return the probability of residuals at least as large if the model is right.

        ``tolerance`` is the allowed error of the model, relative to the standard deviation.
        """
        stderr = np.hypot(self.stderr, 2 * tolerance * self.expected)
        chi2 = np.sum(((points.variance - self.expected) / stderr) ** 2)
        return float(stats.chi2.sf(chi2, self.dof)) if self.dof else 1.0


def fit_law(points: VariancePoints, power: float) -> LawFit:
    """Fit a line by maximum likelihood: a generalised linear model of gamma-distributed variances.

    Weights follow from the fit, not from the data: points that are low by chance must not weigh
    more.
    """
    intensity, variance = points.intensity, points.variance
    design = np.stack([intensity, np.ones_like(intensity)], axis=1)
    eta = variance**power
    slope, covariance = 0.0, np.zeros((2, 2))
    # Fisher scoring, started at the measured variances.
    for _ in range(12):
        expected = np.maximum(eta, 1e-3 * np.min(variance) ** power) ** (1 / power)
        slope_of_link = power * expected ** (power - 1)
        # The mean of a convex function lies above the function of the mean.
        curvature = (1 / power) * (1 / power - 1) / 2 * expected ** (1 - 2 * power) * slope**2
        excess = curvature * points.spread
        response = expected**power + (variance - excess - expected) * slope_of_link
        stderr = np.hypot(
            np.sqrt(2 / points.dof) * expected, slope / slope_of_link * points.intensity_stderr
        )
        weights = 1 / (stderr * slope_of_link) ** 2
        covariance[:] = np.linalg.inv((design.T * weights) @ design)
        slope, intercept = covariance @ (design.T @ (weights * response))
        eta = slope * intensity + intercept
    return LawFit(
        slope=float(slope),
        intercept=float(intercept),
        covariance=covariance,
        expected=expected + excess,
        stderr=stderr,
        chi2=float(np.sum(((variance - expected - excess) / stderr) ** 2)),
        dof=len(intensity) - 2,
    )
