"""The fit of measured variances, compared with likelihood, theory and invariants."""

import numpy as np
import pytest
from scipy import optimize, stats

from stemkit.noise._variance_law import STANDARD_DEVIATION, VARIANCE, VariancePoints, fit_law

INTENSITY = np.array([20.0, 50.0, 90.0, 140.0, 200.0])
DOF = np.array([300.0, 80.0, 500.0, 120.0, 60.0])
POWERS = {"sigma": STANDARD_DEVIATION, "variance": VARIANCE}
each_power = pytest.mark.parametrize("power", POWERS.values(), ids=POWERS)


def points(variance, intensity=INTENSITY, stderr=0.0, dof=DOF, spread=0.0):
    full = np.ones(len(intensity))
    return VariancePoints(intensity, stderr * full, variance, dof, spread * full)


def law(power, slope=0.05, intercept=2.0, intensity=INTENSITY):
    return (slope * intensity + intercept) ** (1 / power)


def measured(power, seed=0, dof=DOF):
    return law(power) * np.random.default_rng(seed).chisquare(dof) / dof


@each_power
def test_points_on_a_line_are_fitted_exactly(power):
    fit = fit_law(points(law(power)), power)
    assert (fit.slope, fit.intercept) == pytest.approx((0.05, 2.0), rel=1e-6)
    np.testing.assert_allclose(fit.expected, law(power))
    assert fit.chi2 == pytest.approx(0, abs=1e-9)
    assert fit.dof == len(INTENSITY) - 2
    assert fit.p_value(points(law(power)), 0.0) == pytest.approx(1)


@each_power
def test_the_fit_maximises_the_likelihood_of_chi_square_variances(power):
    variance = measured(power)

    def minus_log_likelihood(line):
        expected = np.maximum(line[0] * INTENSITY + line[1], 1e-6) ** (1 / power)
        return (DOF / 2 * (np.log(expected) + variance / expected)).sum()

    best = optimize.minimize(
        minus_log_likelihood, (0.05, 2.0), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 0}
    )
    fit = fit_law(points(variance), power)
    assert (fit.slope, fit.intercept) == pytest.approx(tuple(best.x), rel=1e-3)
    # The covariance is the inverse of the expected curvature.
    curvature = np.zeros((2, 2))
    expected = fit.expected
    derivative = 1 / power * expected ** (1 - power)
    for x, d, v, n in zip(INTENSITY, derivative, expected, DOF, strict=True):
        curvature += n / (2 * v**2) * d**2 * np.outer([x, 1], [x, 1])
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(curvature), rtol=1e-6)


@each_power
def test_the_unit_of_counts_and_the_order_of_points_change_nothing(power):
    variance, unit = measured(power), 7.0
    fit = fit_law(points(variance, stderr=0.3, spread=4.0), power)
    scaled = fit_law(
        points(unit**2 * variance, unit * INTENSITY, unit * 0.3, spread=unit**2 * 4.0), power
    )
    order = np.array([3, 0, 4, 1, 2])
    shuffled = fit_law(
        points(variance[order], INTENSITY[order], 0.3, DOF[order], spread=4.0), power
    )
    assert scaled.slope == pytest.approx(unit ** (2 * power - 1) * fit.slope, rel=1e-9)
    assert scaled.intercept == pytest.approx(unit ** (2 * power) * fit.intercept, rel=1e-9)
    assert scaled.chi2 == pytest.approx(fit.chi2, rel=1e-9) == shuffled.chi2
    assert (shuffled.slope, shuffled.intercept) == pytest.approx((fit.slope, fit.intercept))


@each_power
def test_parameters_and_residuals_scatter_as_the_errors_of_the_fit(power):
    # Intensities have errors, too.
    rng, scores, chi2 = np.random.default_rng(0), [], []
    dof, stderr = np.full(5, 400.0), 1.5
    for _ in range(300):
        variance = law(power) * rng.chisquare(dof) / dof
        fit = fit_law(points(variance, INTENSITY + stderr * rng.normal(size=5), stderr, dof), power)
        error = np.array([fit.slope - 0.05, fit.intercept - 2.0])
        scores.append(error / np.sqrt(fit.covariance.diagonal()))
        chi2.append(fit.chi2)
    np.testing.assert_allclose(np.std(scores, axis=0), 1, atol=4.9 / np.sqrt(600))
    assert np.abs(np.mean(scores, axis=0)).max() < 4.9 / np.sqrt(300) + 0.1
    assert stats.kstest(chi2, stats.chi2(3).cdf).pvalue > 1e-6


def test_spread_intensities_have_the_mean_of_their_variances():
    # For sigma linear in the signal, the variance is convex: E[(a x + b)^2] = (a m + b)^2 + a^2 s.
    spread = 400.0
    variance = law(STANDARD_DEVIATION) + 0.05**2 * spread
    fit = fit_law(points(variance, spread=spread), STANDARD_DEVIATION)
    assert (fit.slope, fit.intercept) == pytest.approx((0.05, 2.0), rel=1e-6)
    np.testing.assert_allclose(fit.expected, variance)
    # If the variance is linear, its mean does not depend on the spread.
    fit = fit_law(points(law(VARIANCE), spread=spread), VARIANCE)
    assert (fit.slope, fit.intercept) == pytest.approx((0.05, 2.0), rel=1e-6)


@each_power
def test_the_p_value_is_that_of_chi_square(power):
    some = points(measured(power))
    fit = fit_law(some, power)
    expected = stats.chi2.sf((((some.variance - fit.expected) / fit.stderr) ** 2).sum(), fit.dof)
    assert fit.p_value(some, 0.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [1e3, 1e9])
def test_a_model_may_be_wrong_by_the_tolerance(n):
    # Standard deviations are alternately 0.5 % too high and too low; n sets their precision.
    wrong = law(STANDARD_DEVIATION) * (1 + 0.005 * np.array([1, -1, 1, -1, 1])) ** 2
    some = points(wrong, dof=np.full(5, n))
    fit = fit_law(some, STANDARD_DEVIATION)
    assert (fit.p_value(some, 0.0) < 1e-3) == (n > 1e6)
    assert fit.p_value(some, 0.01) > 0.5
    # For exact points the tolerance alone matters; that of the variance is twice as large.
    if n > 1e6:
        residual = (some.variance - fit.expected) / (2 * 0.01 * fit.expected)
        assert fit.p_value(some, 0.01) == pytest.approx(
            stats.chi2.sf((residual**2).sum(), 3), rel=1e-3
        )
        assert fit.p_value(some, 0.001) < 1e-3
    values = [fit.p_value(some, tolerance) for tolerance in (0, 1e-3, 1e-2, 1e-1)]
    assert values == sorted(values)


def test_two_points_always_lie_on_a_line():
    some = VariancePoints(
        np.array([10.0, 50.0]), np.zeros(2), np.array([4.0, 30.0]), np.full(2, 50.0), np.zeros(2)
    )
    fit = fit_law(some, VARIANCE)
    assert fit.dof == 0
    assert fit.p_value(some, 0.0) == 1
    np.testing.assert_allclose(fit.expected, some.variance)


@each_power
def test_the_intercept_for_a_known_slope_is_that_of_a_fit_with_this_slope(power):
    variance = measured(power)
    fit = fit_law(points(variance), power)
    assert fit.intercept_at(fit.slope) == fit.intercept
    slope = fit.slope + 0.1 * np.sqrt(fit.covariance[0, 0])

    def minus_log_likelihood(intercept):
        expected = (slope * INTENSITY + intercept) ** (1 / power)
        return (DOF / 2 * (np.log(expected) + variance / expected)).sum()

    best = optimize.minimize_scalar(minus_log_likelihood, bounds=(0.5, 4.0), method="bounded")
    change = best.x - fit.intercept
    assert fit.intercept_at(slope) - fit.intercept == pytest.approx(change, rel=0.1)
