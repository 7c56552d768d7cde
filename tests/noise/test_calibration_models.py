"""Calibrations accept the right noise model and reject wrong ones, with the reason."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from stemkit.noise import HRTEMNoise, PoissonGaussianNoise
from stemkit.noise._calibration import LEVEL as LEVEL_OF_ALL
from stemkit.noise._calibration import _preferred, _reasons

from .cameras import COUNTING, HRTEM, LEVELS, quietly, vacuum, z_scores


def counted(levels, seed=0, unit=1.0):
    rng = np.random.default_rng(seed)
    return [unit * rng.poisson(level, (10, 48, 48)).astype(np.float32) for level in levels]


@pytest.mark.parametrize("unit", [1.0, 7.5])
@pytest.mark.parametrize("levels", [(1, 2, 4, 8), (5, 10, 20, 40), (20, 40, 80, 160)])
def test_electrons_counted_one_by_one_hold(levels, unit):
    # Many pixels have no electron, and values have steps that are not due to rounding.
    for seed in range(6):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            noise = PoissonGaussianNoise().fit(counted(levels, seed, unit))
        assert abs(noise.gain_ - unit) < 4.9 * noise.gain_stderr_


def test_counted_electrons_that_are_clipped_do_not_hold():
    clipped = [np.minimum(frames, 25) for frames in counted((5, 10, 20))]
    with pytest.warns(UserWarning, match=r"pixels are clipped in .*X\[2\]"):
        PoissonGaussianNoise().fit(clipped)


def test_pixels_without_noise_are_left_out():
    # Behind a beam stop, the values of a counting camera are 0.
    frames = [np.where(np.arange(48) < 16, 0, stack) for stack in counted((20, 80))]
    noise = quietly(PoissonGaussianNoise(), frames)
    assert abs(noise.gain_ - 1) < 4.9 * noise.gain_stderr_
    assert (noise.calibration_.points["intensity"] > 10).all()


def test_true_models_are_rarely_rejected():
    for model, truth in ((HRTEMNoise, HRTEM), (PoissonGaussianNoise, COUNTING)):
        # At a level of 0.001, three of 15 are rejected by chance in one of two million runs.
        wrong = [
            not quietly(model(), vacuum(model(**truth), s)).calibration_.holds for s in range(15)
        ]
        assert sum(wrong) <= 2


def from_law(law, n_frames=30, side=96, seed=0):
    rng = np.random.default_rng(seed)
    return [
        np.stack([law(np.full((side, side), level), rng) for _ in range(n_frames)])
        for level in LEVELS
    ]


def gaussian(clean, rng):
    return clean + (0.036 * clean + 1.4) * rng.normal(size=clean.shape)


WRONG = {
    "does not follow the model": lambda c, rng: c + (1 + c**2 / 2000) * rng.normal(size=c.shape),
    "pointwise noise has another distribution": lambda c, rng: (
        c + (0.06 * c + 2) * rng.uniform(-1, 1, c.shape)
    ),
    "column noise has another distribution": lambda c, rng: (
        gaussian(c, rng) + 8 * (rng.random(c.shape[1]) < 0.05)
    ),
    "column noise changes with the intensity": lambda c, rng: (
        gaussian(c, rng) + c / 60 * rng.normal(size=c.shape[1])
    ),
    "neighbours along x share noise": lambda c, rng: (
        gaussian(c, rng) + 1.5 * rng.normal(size=(len(c), 1))
    ),
    "neighbours along y share noise": lambda c, rng: (
        c + (0.036 * c + 1.4) * ndimage.gaussian_filter(rng.normal(size=c.shape), 0.5)
    ),
    "pixels are clipped": lambda c, rng: np.minimum(gaussian(c, rng), 125),
}


@pytest.mark.parametrize("what, law", WRONG.items(), ids=WRONG)
def test_wrong_models_are_detected_with_the_reason(what, law):
    with pytest.warns(UserWarning, match=f"HRTEMNoise does not hold .*{what}"):
        noise = HRTEMNoise().fit(from_law(law))
    assert not noise.calibration_.holds
    assert any(what in reason for reason in noise.calibration_.reasons)


def test_the_right_model_is_preferred():
    levels = [20, 60, 120, 240]
    hrtem = vacuum(HRTEMNoise(**HRTEM), levels=levels)
    counting = vacuum(PoissonGaussianNoise(**COUNTING), levels=levels)
    message = r"The variance of .* linear .* not the standard deviation; use .*PoissonGaussianNoise"
    with pytest.warns(UserWarning, match=message):
        calibration = HRTEMNoise().fit(counting).calibration_
    assert (calibration.preferred, calibration.holds) == ("PoissonGaussianNoise", False)
    message = r"The standard deviation of .* linear .* not the variance; use stemkit.*\.HRTEMNoise"
    with pytest.warns(UserWarning, match=message):
        calibration = quietly_about_the_pedestal(hrtem)
    assert (calibration.preferred, calibration.holds) == ("HRTEMNoise", False)
    for model, frames in ((HRTEMNoise, hrtem), (PoissonGaussianNoise, counting)):
        calibration = model().fit(frames).calibration_
        assert (calibration.preferred, calibration.holds) == (model.__name__, True)


def quietly_about_the_pedestal(frames):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The noise vanishes")
        return PoissonGaussianNoise().fit(frames).calibration_


def test_few_electrons_are_not_normal_but_hold():
    frames = vacuum(PoissonGaussianNoise(gain=20.0, read_sigma=3.0))
    assert PoissonGaussianNoise().fit(frames).calibration_.holds
    reasons = quietly(HRTEMNoise(), frames).calibration_.reasons
    assert any("pointwise noise has another distribution" in reason for reason in reasons)


def test_a_missing_pedestal_is_warned_of():
    truth = {"gain": 4.0, "read_sigma": 8.0}
    frames = vacuum(PoissonGaussianNoise(**truth, pedestal=100.0), levels=[120, 240, 400])
    with pytest.warns(UserWarning, match=r"noise vanishes 8\d.* counts above the pedestal"):
        assert PoissonGaussianNoise().fit(frames).read_sigma_ == 0
    noise = PoissonGaussianNoise(pedestal=100.0).fit(frames)
    assert np.abs(z_scores(noise, truth)).max() < 4.9


def table(n, **columns):
    usual = {"ks_pointwise": 0.5, "ks_columns": 0.5, "corr_y": 0.0, "corr_x": 0.0, "clipped": 0.0}
    index = pd.Index([f"X[{i}]" for i in range(n)], name="sequence")
    return pd.DataFrame(usual | columns, index=index)


def reasons_of(n=3, p_value=0.5, column_p_value=0.5, n_pixels=10**7, **columns):
    measured = [SimpleNamespace(n_pixels=n_pixels)] * n
    return _reasons(table(n, **columns), p_value, column_p_value, measured)


@pytest.mark.parametrize("n", [1, 3, 10])
def test_all_tests_together_have_the_level_of_one(n):
    # There are two tests of all sequences and two of each (Bonferroni correction).
    level = LEVEL_OF_ALL / (2 + 2 * n)
    for name in ("p_value", "column_p_value", "ks_pointwise", "ks_columns"):
        assert reasons_of(n, **{name: level}) == []
        assert reasons_of(n, **{name: 1.001 * level}) == []
        assert len(reasons_of(n, **{name: 0.999 * level})) == 1


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_correlation_must_be_large_and_significant(axis, sign):
    name = f"corr_{axis}"
    assert reasons_of(**{name: sign * 0.019}) == []
    assert f"neighbours along {axis} share noise" in reasons_of(**{name: sign * 0.021})[0]
    # For 2,500 pixels the standard error of the correlation is 0.02, so 0.1 is five of them.
    assert reasons_of(n_pixels=2500, **{name: sign * 0.099}) == []
    assert len(reasons_of(n_pixels=2500, **{name: sign * 0.101})) == 1


def test_reasons_name_the_sequences_concerned():
    (reason,) = reasons_of(clipped=[0.0, 0.02, 0.004])
    assert reason == "pixels are clipped in X[1] (2.0%)"
    (reason,) = reasons_of(ks_columns=[1e-9, 0.5, 1e-7])
    assert reason == "column noise has another distribution in X[0], X[2] (p = 1e-09)"
    assert reasons_of(clipped=[0.005] * 3) == []


@pytest.mark.parametrize("model", ["HRTEMNoise", "PoissonGaussianNoise"])
def test_a_model_is_preferred_if_its_chi_square_is_smaller_by_more_than_20(model):
    other = {"HRTEMNoise", "PoissonGaussianNoise"} - {model}

    def preferred(own, others, dof=10):
        fits = {model: SimpleNamespace(chi2=own, dof=dof)}
        fits |= {name: SimpleNamespace(chi2=others, dof=dof) for name in other}
        return _preferred(fits, model)

    assert preferred(30, 9) == (*other, True)
    assert preferred(28, 9) == preferred(9, 28) == preferred(9, 9) == (model, False)
    assert preferred(9, 30) == (model, True)
    # If neither model fits, the difference is divided by the reduced chi-square of the better one.
    assert preferred(120, 50) == (model, False)
    assert preferred(160, 50) == (*other, True)
    # Two points always lie on a line.
    assert preferred(0, 0, dof=0) == (model, False)
