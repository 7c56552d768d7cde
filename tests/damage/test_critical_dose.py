import re

import numpy as np
import pytest
from scipy import optimize, stats

from stemkit.damage._critical_dose import CriticalDose, fit_critical_dose

DOSE = np.linspace(0, 12, 13)


def decays(critical, dose=DOSE):
    critical = np.atleast_2d(critical)
    return np.exp(-(dose - dose[0])[:, None, None] / critical).astype("float32")


@pytest.mark.parametrize("offset", [0.0, 5.0])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_exponentials_are_fitted_exactly_in_any_unit(unit, offset):
    critical = np.geomspace(0.5, 400, 30).reshape(5, 6)
    fit = fit_critical_dose(decays(critical), unit * (DOSE + offset))
    assert isinstance(fit, CriticalDose)
    assert fit.dose.shape == fit.stderr.shape == (5, 6)
    assert fit.dose.dtype == fit.stderr.dtype == np.float32
    np.testing.assert_allclose(fit.dose, unit * critical, rtol=1e-3)
    assert (fit.stderr < 1e-3 * fit.dose).all()


def noisy(critical, spread, seed=0):
    clean = decays(critical)
    signal = clean + np.random.default_rng(seed).normal(0, spread, clean.shape)
    # The decay is relative to the first frame, which is as noisy as the others.
    return (signal / signal[0]).astype("float32")


def test_fit_equals_that_of_scipy():
    critical = np.array([[0.8, 3.0, 10.0, 30.0, 90.0]])
    decay = noisy(critical, 0.03)
    fit = fit_critical_dose(decay, DOSE)
    for index, truth in enumerate(critical[0]):
        value, variance = optimize.curve_fit(
            lambda dose, d, a: a * np.exp(-dose / d), DOSE, decay[:, 0, index], p0=(truth, 1)
        )
        assert fit.dose[0, index] == pytest.approx(value[0], rel=2e-3)
        assert fit.stderr[0, index] == pytest.approx(np.sqrt(variance[0, 0]), rel=0.01)


@pytest.mark.parametrize("critical", [1.5, 6.0, 25.0])
def test_standard_errors_cover_the_truth(critical):
    n = 4096
    fit = fit_critical_dose(noisy(np.full((1, n), critical), 0.02), DOSE)
    # The fit is nearly linear in the rate, so the deviations follow Student's t-distribution.
    deviation = (1 / fit.dose - 1 / critical) / (fit.stderr / fit.dose**2)
    degrees = len(DOSE) - 2
    for level in (0.5, 0.68, 0.95):
        covered = (np.abs(deviation) < stats.t.ppf(0.5 + level / 2, degrees)).mean()
        assert covered == pytest.approx(level, abs=5 * np.sqrt(level * (1 - level) / n))
    assert abs(np.median(deviation)) < 0.1


def test_pixels_that_do_not_decay_have_an_infinite_critical_dose():
    decay = np.stack([np.ones(13), np.linspace(1, 1.5, 13), 1 + 0.01 * DOSE**0.1])
    fit = fit_critical_dose(decay.T[:, None].astype("float32"), DOSE)
    assert np.isposinf(fit.dose).all()
    assert np.isposinf(fit.stderr).all()


def test_pixels_that_decay_at_once_have_a_finite_critical_dose():
    decay = np.zeros((4, 2, 2), "float32")
    decay[0] = 1
    fit = fit_critical_dose(decay, np.array([0.0, 10.0, 20.0, 30.0]))
    assert np.isfinite(fit.dose).all()
    assert not np.isnan(fit.stderr).any()
    assert (fit.dose < 5).all()


def test_two_frames_give_no_standard_error():
    fit = fit_critical_dose(decays(4.0, np.array([0.0, 3.0])), np.array([0.0, 3.0]))
    assert fit.dose[0, 0] == pytest.approx(4, rel=1e-3)
    assert np.isposinf(fit.stderr).all()


def test_each_pixel_is_fitted_separately():
    decay = noisy(np.array([[2.0, 9.0], [20.0, 1e9]]), 0.02)
    together = fit_critical_dose(decay, DOSE)
    for y, x in np.ndindex(2, 2):
        alone = fit_critical_dose(decay[:, y : y + 1, x : x + 1], DOSE)
        np.testing.assert_array_equal(alone.dose[0, 0], together.dose[y, x])
        np.testing.assert_array_equal(alone.stderr[0, 0], together.stderr[y, x])


def test_one_frame_has_no_critical_dose():
    with pytest.raises(ValueError, match=r"decay holds 1 frame.* at least 2"):
        fit_critical_dose(np.ones((1, 4, 4)), [0.0])


def test_a_single_frame_has_no_critical_dose():
    with pytest.raises(ValueError, match=r"^decay holds 1 frame\(s\), but at least 2 are needed"):
        fit_critical_dose(np.ones((1, 4, 5)), [0.0])


def test_without_decay_there_is_a_lower_limit_alone():
    n, spread = 4096, 0.02
    rng = np.random.default_rng(0)
    undamaged = rng.normal(1, spread, (len(DOSE), 1, n))
    fit = fit_critical_dose(undamaged, DOSE, stderr=np.full(undamaged.shape, spread))
    assert np.isinf(fit.upper_limit).mean() == pytest.approx(0.95, abs=0.02)
    # The slope of a line with an intercept has this standard error.
    error = spread / np.sqrt(((DOSE - DOSE.mean()) ** 2).sum())
    rising = np.isinf(fit.dose)
    limit = np.median(fit.lower_limit[rising])
    assert limit == pytest.approx(1 / (1.645 * error), rel=0.1)
    assert re.search(r"no upper limit in 9\d% of the places: above \d+ at 95 %", repr(fit))


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("critical", [4.0, 40.0])
def test_limits_hold_with_their_probability(critical, given):
    n, spread = 4096, 0.03
    decay = noisy(np.full((1, n), critical), spread)
    stderr = np.full(decay.shape, spread) if given else None
    fit = fit_critical_dose(decay, DOSE, stderr=stderr)
    # Residuals that are large by chance make given errors larger.
    assert 0.935 < (fit.lower_limit < critical).mean() < 0.985
    assert 0.935 < (fit.upper_limit > critical).mean() < 0.985
    assert (fit.lower_limit <= fit.dose).all()
    assert (fit.dose <= fit.upper_limit).all()
    assert ("no upper limit" in repr(fit)) == bool(np.isinf(fit.upper_limit).any())


def test_frames_are_weighted_by_their_standard_errors():
    rng = np.random.default_rng(0)
    spread = np.full((len(DOSE), 1, 2000), 0.01)
    spread[6:] = 0.3
    decay = decays(5.0) + rng.normal(0, 1, spread.shape) * spread
    decay[0] = 1
    even, weighted = (fit_critical_dose(decay, DOSE, stderr=s) for s in (None, spread))
    assert np.std(weighted.dose) < 0.3 * np.std(even.dose[np.isfinite(even.dose)])
    assert np.std(weighted.dose) == pytest.approx(np.median(weighted.stderr), rel=0.3)


def test_two_frames_have_the_error_that_is_given():
    dose = np.array([0.0, 3.0])
    fit = fit_critical_dose(decays(4.0, dose), dose, stderr=np.full((2, 1, 1), 0.01))
    # The rate is the logarithm of a ratio of two numbers with this error.
    left = np.exp(-3 / 4)
    expected = 0.01 * np.hypot(1, 1 / left) / 3 * 4**2
    assert fit.stderr[0, 0] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    "stderr", [np.ones((13, 2, 1)), np.zeros((13, 1, 1)), -np.ones((13, 1, 1))]
)
def test_wrong_standard_errors_are_named(stderr):
    with pytest.raises(ValueError, match=r"^stderr (has shape|must be positive)"):
        fit_critical_dose(decays(4.0), DOSE, stderr=stderr)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(
    "signal",
    [
        (0, 0, 0),
        (1, 1, 1),
        (1, 1, 0),
        (1, 0, 0),
        (0, 1, 1),
        (-1, -1, -1),
        (1, 2, 4),
        (1e-45, 1e-45, 1e-45),
        (3e38, 1e38, 1e38),
        (1, -1, 1),
        (1, 1),
        (0, 0),
    ],
)
def test_what_is_known_is_finite_for_any_numbers(signal, given):
    decay = np.array(signal, np.float32)[:, None, None]
    dose = np.arange(float(len(signal)))
    fit = fit_critical_dose(decay, dose, stderr=np.full(decay.shape, 0.1) if given else None)
    assert np.isfinite(fit.lower_limit).all()
    assert (fit.lower_limit >= 0).all()
    for values in (fit.dose, fit.stderr, fit.upper_limit):
        assert not np.isnan(values).any()
    assert (fit.lower_limit <= fit.dose).all()
    assert (fit.dose <= fit.upper_limit).all()


def test_without_signal_nothing_is_known():
    fit = fit_critical_dose(np.zeros((4, 1, 1)), DOSE[:4])
    assert np.isinf(fit.dose).all()
    assert np.isinf(fit.stderr).all()
    assert (fit.lower_limit == 0).all()


def test_a_signal_that_is_lost_at_once_has_no_lower_limit():
    decay = np.array([1.0, 0.02, -0.01, 0.01])[:, None, None]
    fit = fit_critical_dose(decay, np.arange(4.0), stderr=np.full(decay.shape, 0.02))
    assert fit.lower_limit[0, 0] == 0
    assert fit.dose[0, 0] < 0.5


def test_equal_numbers_are_no_more_certain_than_their_rounding():
    fit = fit_critical_dose(np.full((5, 1, 1), 0.5), DOSE[:5])
    assert 1e5 * DOSE[4] < fit.lower_limit[0, 0] < 1e8 * DOSE[4]
