"""Calibrations report which quantities the frames do not determine."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from stemkit.exceptions import BadPixelWarning
from stemkit.noise import HRTEMNoise, PoissonGaussianNoise
from stemkit.noise._calibrated import slope_of

from . import cameras


def vacuum(levels, n_frames=40, **truth):
    camera = HRTEMNoise(**truth, random_state=0)
    return [camera.fit_transform(np.full((n_frames, 48, 48), level)) for level in levels]


def test_two_flat_intensities_do_not_distinguish_the_models():
    # Both models fit any two points; a third one in between distinguishes them.
    two, three = (
        HRTEMNoise().fit(vacuum(levels)).calibration_ for levels in ([20, 240], [20, 90, 240])
    )
    assert (two.told_apart, two.preferred, two.holds) == (False, "HRTEMNoise", True)
    assert two.verdict == "HRTEMNoise holds, not distinguished from PoissonGaussianNoise"
    assert "add sequences at other intensities" in str(two)
    assert (three.told_apart, three.verdict) == (True, "HRTEMNoise holds")
    printed = str(three)
    assert printed.startswith("HRTEMNoise holds\nsigma = (")
    assert f"{three.fit.slope:.4g} +- " in printed
    assert "other intensities" not in printed


def test_noise_below_half_a_count_is_warned_of():
    # Halfway between two integers, little noise suffices to round frames half a count up or down.
    frames = vacuum([60.5, 90.5, 120.5], gain=0.003, offset=0.1, column_sigma=0.0)
    whole = [np.rint(stack) for stack in frames]
    with (
        pytest.warns(UserWarning, match="whole numbers with noise of .* below half a count"),
        pytest.warns(UserWarning, match="another distribution"),
    ):
        biased = HRTEMNoise().fit(whole)
    # The frames before rounding give the true parameters, without a warning.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noise = HRTEMNoise().fit(frames)
    assert abs(noise.offset_ - 0.1) < 4.9 * noise.offset_stderr_
    assert abs(biased.offset_ - 0.1) > 10 * biased.offset_stderr_


def line(slope, intercept, slope_stderr=0.01, intercept_stderr=0.5, correlation=-0.8):
    product = correlation * slope_stderr * intercept_stderr
    covariance = np.array([[slope_stderr**2, product], [product, intercept_stderr**2]])
    return SimpleNamespace(slope=slope, intercept=intercept, covariance=covariance)


@pytest.mark.parametrize("slope, expected", [(0.3, 0.3), (0.0, 0.0), (-0.049, 0.0)])
def test_a_slope_below_0_by_chance_is_0(slope, expected):
    assert slope_of(line(slope, 1.0)) == (expected, pytest.approx(0.01))


def test_a_slope_below_0_by_more_than_five_standard_errors_is_an_error():
    with pytest.raises(ValueError, match=r"decreases as the signal grows \(by 0\.051 per count\)"):
        slope_of(line(-0.051, 1.0))


def measured(fit, pedestal=0.0, rounding=0.0):
    noise = PoissonGaussianNoise(pedestal=pedestal)
    noise._set_measured(
        SimpleNamespace(fit=fit, rounding=rounding, column_sigma=0.7, column_sigma_stderr=0.1)
    )
    return noise


@pytest.mark.parametrize("pedestal", [0.0, 20.0, -15.0])
def test_readout_noise_is_that_of_the_line_at_the_pedestal(pedestal):
    fit = line(2.0, 60.0)
    noise = measured(fit, pedestal)
    assert (noise.gain_, noise.gain_stderr_) == (2.0, pytest.approx(0.01))
    assert noise.read_sigma_**2 == pytest.approx(2.0 * pedestal + 60)
    # The standard error is the spread of lines drawn from the covariance.
    lines = np.random.default_rng(0).multivariate_normal([2.0, 60.0], fit.covariance, 20_000)
    drawn = np.sqrt(lines @ [pedestal, 1.0])
    assert noise.read_sigma_stderr_ == pytest.approx(drawn.std(), rel=0.03)
    assert (noise.column_sigma_, noise.column_sigma_stderr_) == (0.7, 0.1)


def test_a_variance_below_0_at_the_pedestal_is_none_or_another_pedestal():
    # Less than five standard errors below 0, after the variance of rounding, it is chance.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for fit, rounding in ((line(2.0, -2.4), 0.0), (line(2.0, -2.55), 1 / 12)):
            noise = measured(fit, rounding=rounding)
            assert noise.read_sigma_ == 0
            assert noise.read_sigma_stderr_ == pytest.approx(np.sqrt(0.5) / 2)
    with pytest.warns(UserWarning, match="The noise vanishes 1.3 counts above the pedestal"):
        measured(line(2.0, -2.6))


def test_drawn_pixels_are_those_of_the_camera():
    # Pixels below the pedestal have readout noise only.
    noise = PoissonGaussianNoise(pedestal=10.0)
    intensity = np.repeat([5.0, 10.0, 110.0], 40_000)
    drawn = noise._draw_pixels(line(2.0, 5.0), intensity).reshape(3, -1)
    np.testing.assert_allclose(drawn.mean(axis=1), [10, 10, 110], atol=0.4)
    np.testing.assert_allclose(drawn.var(axis=1), [25, 25, 225], rtol=0.05)
    # Lines without readout noise and without slope are possible, too.
    np.testing.assert_array_equal(noise._draw_pixels(line(2.0, -30.0), intensity[:9]), 10)
    np.testing.assert_allclose(noise._draw_pixels(line(0.0, 0.0), intensity[-9:]), 110, atol=1e-3)


@pytest.mark.parametrize("value", [0, 4095, 65535, 2**32 - 1, np.nan])
@pytest.mark.parametrize("whole", [True, False])
def test_bad_pixels_do_not_change_a_calibration(value, whole):
    clean = cameras.vacuum(HRTEMNoise(**cameras.HRTEM))
    if whole:
        clean = [np.rint(stack) for stack in clean]
    spoilt = [stack.copy() for stack in clean]
    for stack in spoilt:
        stack[:, 7, 30] = value
        stack[3, 20, 11] = value  # an X-ray
    expected = cameras.quietly(HRTEMNoise(), clean)
    with pytest.warns(BadPixelWarning, match=r"^X\[0\].* has bad pixels") as record:
        noise = HRTEMNoise().fit(spoilt)
    assert len(record) == 1
    assert noise.calibration_.holds == expected.calibration_.holds
    for name in cameras.HRTEM:
        found, wanted = getattr(noise, f"{name}_"), getattr(expected, f"{name}_")
        assert abs(found - wanted) < 0.5 * getattr(expected, f"{name}_stderr_")
