"""Standard errors and p-values of calibrations, compared with the spread of many."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from stemkit.noise import HRTEMNoise, PoissonGaussianNoise
from stemkit.noise._calibration import _columns_of_all, _root_stderr

from .cameras import COUNTING, HRTEM, LEVEL, quietly, vacuum, z_scores


def spread_of(scores):
    """Standard deviation of standardised errors, and 4.9 times its standard error."""
    scores = np.asarray(scores)
    return scores.std(axis=0), 4.9 / np.sqrt(2 * len(scores))


@pytest.fixture(scope="module")
def small_calibrations():
    """Calibrations of 100 independent sets of frames."""
    camera = HRTEMNoise(**HRTEM)
    return [
        quietly(HRTEMNoise(), vacuum(camera, seed, n_frames=8, side=16, levels=[60, 90, 120]))
        for seed in range(100)
    ]


def test_standard_errors_are_the_spread_of_the_estimates(small_calibrations):
    scores = [z_scores(noise, HRTEM) for noise in small_calibrations]
    spread, tolerance = spread_of(scores)
    np.testing.assert_allclose(spread, 1, atol=tolerance)


def test_standard_errors_of_the_tables_are_the_spread_of_their_values(small_calibrations):
    columns, points = [], []
    for noise in small_calibrations:
        sequences, table = noise.calibration_.sequences, noise.calibration_.points
        truth = HRTEM["gain"] * np.repeat([60, 90, 120], 2) + HRTEM["offset"]
        points.append((table["sigma"] - truth) / table["sigma_stderr"])
        # Variances are compared, since near 0 a standard deviation is not normal.
        variance = sequences["column_sigma"] ** 2 - HRTEM["column_sigma"] ** 2
        columns.append(variance / (2 * sequences["column_sigma"] * sequences["column_stderr"]))
    spread, tolerance = spread_of(np.ravel(points))
    assert spread == pytest.approx(1, abs=tolerance)
    # The root is not linear, so the median is compared with that of a normal distribution.
    assert np.quantile(np.abs(np.ravel(columns)), 0.5) == pytest.approx(0.67, abs=0.2)


def test_standard_error_of_readout_noise_is_its_spread():
    camera = PoissonGaussianNoise(**COUNTING)
    fits = [
        quietly(
            PoissonGaussianNoise(),
            vacuum(camera, seed, n_frames=8, side=16, levels=[5, 60, 240]),
        )
        for seed in range(60)
    ]
    spread, tolerance = spread_of([z_scores(noise, COUNTING) for noise in fits])
    np.testing.assert_allclose(spread, 1, atol=tolerance)


def test_p_values_of_a_true_model_are_uniform(small_calibrations):
    models = [noise.calibration_.models.loc["HRTEMNoise"] for noise in small_calibrations]
    assert stats.kstest([model["p_value"] for model in models], "uniform").pvalue > LEVEL
    for model in models:
        assert model["p_value"] == pytest.approx(stats.chi2.sf(model["chi2"], model["dof"]))
    for noise in small_calibrations:
        residual = noise.calibration_.points["residual"]
        chi2 = noise.calibration_.models.loc["HRTEMNoise", "chi2"]
        assert (residual**2).sum() == pytest.approx(chi2)


def test_misfit_is_the_largest_relative_residual_of_the_standard_deviation(small_calibrations):
    for noise in small_calibrations[:20]:
        points, models = noise.calibration_.points, noise.calibration_.models
        line = (
            models["slope"].to_numpy() * points[["intensity"]].to_numpy()
            + models["intercept"].to_numpy()
        )
        hrtem, counting = line[:, 0], np.sqrt(line[:, 1])
        assert list(models.index) == ["HRTEMNoise", "PoissonGaussianNoise"]
        for name, sigma in (("HRTEMNoise", hrtem), ("PoissonGaussianNoise", counting)):
            expected = np.abs(points["sigma"] / sigma - 1).max()
            assert models.loc[name, "misfit"] == pytest.approx(expected, rel=1e-6)


def test_column_noise_of_all_sequences_is_their_weighted_mean(small_calibrations):
    for noise in small_calibrations[:20]:
        calibration = noise.calibration_
        combined = calibration.column_sigma_stderr
        single = calibration.sequences["column_stderr"]
        assert combined < single.min()
        assert combined == noise.column_sigma_stderr_
    combined = np.mean([noise.column_sigma_stderr_ for noise in small_calibrations])
    single = [noise.calibration_.sequences["column_stderr"].mean() for noise in small_calibrations]
    # The three sequences have nearly the same precision.
    assert np.mean(single) / combined == pytest.approx(np.sqrt(3), rel=0.2)


def column_sequences(variance, floor, dof):
    return [
        SimpleNamespace(column_variance=v, column_floor=f, column_dof=n)
        for v, f, n in zip(variance, floor, dof, strict=True)
    ]


def test_sequences_are_combined_by_their_precision():
    # Sample variances are (true + floor) times chi-square, divided by its degrees of freedom.
    rng, true = np.random.default_rng(0), 2.0
    floor, dof = np.array([0.1, 1.0, 8.0]), np.array([200, 1000, 400])
    stderr = (true + floor) * np.sqrt(2 / dof)
    found = []
    for _ in range(400):
        variance = (true + floor) * rng.chisquare(dof) / dof - floor
        found.append(_columns_of_all(column_sequences(variance, floor, dof)))
    mean, error, p_value = np.transpose(found)
    expected = np.sum(stderr**-2.0) ** -0.5
    assert mean.mean() == pytest.approx(true, abs=4.9 * expected / 20)
    assert mean.std() == pytest.approx(expected, rel=4.9 / np.sqrt(800))
    assert error.mean() == pytest.approx(expected, rel=0.02)
    # The allowed systematic error, 1 % of the standard deviation, is far below the spread.
    assert stats.kstest(p_value, "uniform").pvalue > LEVEL


def test_column_noise_of_one_sequence_agrees_with_itself():
    mean, error, p_value = _columns_of_all(column_sequences([3.0], [0.5], [50]))
    assert (mean, p_value) == (3.0, 1.0)
    assert error == pytest.approx(3.5 * np.sqrt(2 / 50))


def test_column_noise_may_differ_by_a_hundredth_of_its_standard_deviation():
    dof = np.full(2, 1e12)
    for relative, agrees in ((0.005, True), (0.05, False)):
        variance = 4 * np.array([1 - relative, 1 + relative]) ** 2
        p_value = _columns_of_all(column_sequences(variance, np.zeros(2) + 1e-9, dof))[2]
        assert (p_value > 0.01) == agrees


@pytest.mark.parametrize("variance, stderr", [(9.0, 0.3), (1e-4, 0.3), (-0.2, 0.3), (0.3, 0.3)])
def test_the_error_of_a_root_follows_from_that_of_the_variance(variance, stderr):
    found = _root_stderr(variance, stderr)
    if variance > stderr:
        upper, lower = np.sqrt(variance + stderr), np.sqrt(variance - stderr)
        assert found == pytest.approx((upper - lower) / 2, rel=0.01)
    else:
        # Near zero the error is half of the root of the largest likely variance.
        assert found == pytest.approx(np.sqrt(stderr) / 2)
