"""How noise grows with the signal: a line through standard deviations, or through variances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

# Of the noise's power that grows linearly with the signal.
STANDARD_DEVIATION, VARIANCE = 0.5, 1.0


@dataclass(frozen=True)
class VariancePoints:
    """Measured variances: each ``dof`` times its variance over the true one is chi-square."""

    intensity: Floats
    intensity_stderr: Floats
    variance: Floats
    dof: Floats
    spread: Floats
    """Variance of the intensities that a point brings together."""


@dataclass(frozen=True)
class LawFit:
    """``variance ** power = slope * intensity + intercept``, with what it leaves unexplained."""

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
        """Return the most likely intercept where the slope is known."""
        return self.intercept + self.covariance[0, 1] / self.covariance[0, 0] * (slope - self.slope)

    def p_value(self, points: VariancePoints, tolerance: float) -> float:
        """Probability of residuals at least as large, where the law is right.

        ``tolerance`` is a share of the standard deviation: by so much the law may be wrong.
        """
        stderr = np.hypot(self.stderr, 2 * tolerance * self.expected)
        chi2 = np.sum(((points.variance - self.expected) / stderr) ** 2)
        return float(stats.chi2.sf(chi2, self.dof)) if self.dof else 1.0


def fit_law(points: VariancePoints, power: float) -> LawFit:
    """Fit a line by maximum likelihood: a generalised linear model of gamma-distributed variances.

    Weights come from the fit, not from the data: points that happen to be low must not count more.
    """
    intensity, variance = points.intensity, points.variance
    design = np.stack([intensity, np.ones_like(intensity)], axis=1)
    eta = variance**power
    slope, covariance = 0.0, np.zeros((2, 2))
    # Fisher scoring gains digits with each step; the variances themselves are a good start.
    for _ in range(12):
        expected = np.maximum(eta, 1e-3 * np.min(variance) ** power) ** (1 / power)
        slope_of_link = power * expected ** (power - 1)
        # The mean of a bent law lies above the law of the mean.
        bend = (1 / power) * (1 / power - 1) / 2 * expected ** (1 - 2 * power) * slope**2
        excess = bend * points.spread
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
