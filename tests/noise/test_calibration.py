"""Calibrations recover parameters with valid standard errors, and detect wrong models."""

import copy
import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, stats
from sklearn.base import clone

from stemkit.noise import HRTEMNoise, PoissonGaussianNoise
from stemkit.noise._calibration import LEVEL as LEVEL_OF_ALL
from stemkit.noise._calibration import (
    _columns_of_all,
    _preferred,
    _reasons,
    _require_spread,
    _root_stderr,
)
from stemkit.noise._variance_law import VariancePoints

# Once in a million runs, if the seeds were not fixed.
LEVEL = 1e-6
LEVELS = np.linspace(60, 120, 6)
HRTEM = {"gain": 0.03583, "offset": 1.379, "column_sigma": 0.6641}
COUNTING = {"gain": 3.0, "read_sigma": 4.0, "column_sigma": 0.8}


def vacuum(camera, seed=0, *, n_frames=16, side=48, levels=LEVELS):
    camera = clone(camera).set_params(random_state=seed)
    return [camera.fit_transform(np.full((n_frames, side, side), level)) for level in levels]


def field(side=128, low=60.0, high=160.0):
    """A lattice of bright columns."""
    y, x = np.mgrid[:side, :side]
    peaks = np.cos(2 * np.pi * x / 12) * np.cos(2 * np.pi * y / 10)
    return low + (high - low) * ndimage.gaussian_filter((peaks > 0.5) * 1.0, 1.5)


def z_scores(noise, truth):
    return [
        (getattr(noise, f"{name}_") - value) / getattr(noise, f"{name}_stderr_")
        for name, value in truth.items()
    ]


def scores_of_many(estimator, truth, seeds, frames):
    """Errors in units of the standard error each fit gave itself, (seeds, parameters)."""
    return np.array([z_scores(clone(estimator).fit(frames(seed)), truth) for seed in range(seeds)])


def assert_standard_normal(scores):
    """Unbiased, and spread by the standard errors, at a level of one in a million."""
    n = len(scores)
    assert (np.abs(scores.mean(axis=0)) < 4.9 / np.sqrt(n)).all()
    share = (scores**2).mean(axis=0)
    assert (share < 1 + 4.9 * np.sqrt(2 / n) + 12 / n).all()
    assert (share > (1 - 2.3 / np.sqrt(n)) ** 3).all()


def quietly(estimator, X, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return estimator.fit(X, **arguments)


def test_parameters_from_vacuum_frames_are_unbiased():
    fits = [HRTEMNoise().fit(vacuum(HRTEMNoise(**HRTEM), seed)) for seed in range(20)]
    assert_standard_normal(np.array([z_scores(noise, HRTEM) for noise in fits]))
    # Residuals of all points are what their errors make them.
    tables = [noise.calibration_.models.loc["HRTEMNoise"] for noise in fits]
    chi2, dof = sum(table["chi2"] for table in tables), sum(table["dof"] for table in tables)
    assert dof == 20 * (2 * len(LEVELS) - 2)
    assert LEVEL / 2 < stats.chi2.cdf(chi2, dof) < 1 - LEVEL / 2


def test_parameters_of_a_counting_camera_are_unbiased():
    def frames(seed):
        return vacuum(PoissonGaussianNoise(**COUNTING), seed, levels=[20, 60, 120, 240])

    assert_standard_normal(scores_of_many(PoissonGaussianNoise(), COUNTING, 20, frames))


@pytest.mark.parametrize("n_frames, high, flicker", [(16, 250.0, 0.02), (4, 90.0, 0.0)])
def test_one_still_field_with_structure_is_enough(n_frames, high, flicker):
    # Of four frames with little contrast, pixels must not be sorted by their own noise.
    clean = field(low=50, high=high)

    def frames(seed):
        beam = 1 + flicker * np.random.default_rng(seed).normal(size=(n_frames, 1, 1))
        return [HRTEMNoise(**HRTEM, random_state=seed).fit_transform(clean * beam)]

    assert_standard_normal(scores_of_many(HRTEMNoise(), HRTEM, 20, frames))


def test_rounding_is_taken_off():
    truth = {"gain": 0.01, "offset": 0.1, "column_sigma": 0.3}  # 0.7 to 1.3 counts of noise

    def frames(seed):
        return [np.rint(stack).astype("uint16") for stack in vacuum(HRTEMNoise(**truth), seed)]

    assert_standard_normal(scores_of_many(HRTEMNoise(), truth, 12, frames))
    # A test of a continuous law would reject steps this coarse, were they not filled.
    assert HRTEMNoise().fit(frames(0)).calibration_.holds


def test_fixed_pattern_and_an_unsteady_beam_cancel():
    def frames(seed):
        rng = np.random.default_rng(seed)
        pattern = rng.normal(1, 0.02, (48, 48))
        beam = 1 + np.linspace(0, 0.05, 16) + rng.normal(0, 0.01, 16)
        camera = HRTEMNoise(**HRTEM, random_state=seed)
        return [camera.fit_transform(c * pattern * beam[:, None, None]) for c in LEVELS]

    assert_standard_normal(scores_of_many(HRTEMNoise(), HRTEM, 16, frames))


def test_pointwise_noise_of_short_columns_is_subtracted():
    # Of 12 px, whose means vary by sqrt(0.664**2 + 25 / 12) = 1.6 counts.
    frames = vacuum(HRTEMNoise(gain=0, offset=5, column_sigma=0.6641), n_frames=400, side=12)
    noise = quietly(HRTEMNoise(), frames)
    assert abs(noise.column_sigma_ - 0.6641) < 4.9 * noise.column_sigma_stderr_
    assert noise.column_sigma_stderr_ < 0.1
    none = quietly(HRTEMNoise(), vacuum(HRTEMNoise(column_sigma=0)))
    assert none.column_sigma_ < 4.9 * none.column_sigma_stderr_


def test_many_short_sequences_agree_on_the_column_sigma():
    # If sequences that are low by chance weighed more, the result would be 5 % low.
    def frames(seed):
        return vacuum(HRTEMNoise(gain=0, offset=1, column_sigma=2), seed, n_frames=4, side=16)

    fits = [quietly(HRTEMNoise(), frames(seed)) for seed in range(40)]
    assert_standard_normal(np.array([z_scores(noise, {"column_sigma": 2}) for noise in fits]))


def test_points_may_span_a_range_of_intensities():
    # With few pixels each point spans up to 30 counts: the mean of the variances differs from the
    # variance at the mean.
    y, x = np.mgrid[:40, :40]
    clean = 130 + 110 * np.cos(2 * np.pi * x / 9) * np.cos(2 * np.pi * y / 8)
    truth = {"gain": 0.05, "offset": 1.0, "column_sigma": 0.5}

    def frames(seed):
        return [HRTEMNoise(**truth, random_state=seed).fit_transform(np.tile(clean, (60, 1, 1)))]

    assert_standard_normal(scores_of_many(HRTEMNoise(), truth, 20, frames))


def test_noise_that_does_not_grow_is_not_larger_than_it_was():
    camera = HRTEMNoise(gain=0, offset=5, column_sigma=0)
    fits = [
        quietly(HRTEMNoise(), vacuum(camera, seed, n_frames=6, side=24, levels=[80, 100, 120]))
        for seed in range(30)
    ]
    at_100 = np.array([noise.gain_ * 100 + noise.offset_ for noise in fits])
    stderr = 5 / np.sqrt(2 * 3 * 3 * 24 * 23)
    assert np.abs(at_100 - 5).max() < 6 * stderr
    assert {0.0} < {noise.gain_ for noise in fits}  # for some the slope is, by chance, below 0


def counted(levels, seed=0, unit=1.0):
    rng = np.random.default_rng(seed)
    return [unit * rng.poisson(level, (10, 48, 48)).astype(np.float32) for level in levels]


@pytest.mark.parametrize("unit", [1.0, 7.5])
@pytest.mark.parametrize("levels", [(1, 2, 4, 8), (5, 10, 20, 40), (20, 40, 80, 160)])
def test_electrons_counted_one_by_one_hold(levels, unit):
    # Many pixels hold none, the values come in steps, and nobody has rounded them.
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
    # Under a beam stop a counting camera gives zeros.
    frames = [np.where(np.arange(48) < 16, 0, stack) for stack in counted((20, 80))]
    noise = quietly(PoissonGaussianNoise(), frames)
    assert abs(noise.gain_ - 1) < 4.9 * noise.gain_stderr_
    assert (noise.calibration_.points["intensity"] > 10).all()


def test_true_models_are_rarely_rejected():
    for model, truth in ((HRTEMNoise, HRTEM), (PoissonGaussianNoise, COUNTING)):
        # A level of 0.001 for each: of 15, three are wrong by chance in one of two million runs.
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


def test_points_lie_on_the_line():
    calibration = HRTEMNoise().fit(vacuum(HRTEMNoise(**HRTEM))).calibration_
    points = calibration.points
    slope, intercept = calibration.models.loc["HRTEMNoise", ["slope", "intercept"]]
    np.testing.assert_allclose(points["expected"], slope * points["intensity"] + intercept)
    assert points["residual"].abs().max() < 5
    chi2 = calibration.models.loc["HRTEMNoise", "chi2"]
    assert (points["residual"] ** 2).sum() == pytest.approx(chi2)
    # The errors of a standard deviation are those of its variance, to first order.
    scaled = (points["sigma"] - points["expected"]) / points["sigma_stderr"]
    np.testing.assert_allclose(points["residual"], scaled, rtol=0.1)
    assert calibration.models.loc["HRTEMNoise", "misfit"] < 0.05
    np.testing.assert_allclose(calibration.sequences["intensity"], LEVELS, atol=0.3)
    assert (calibration.sequences["n_frames"] == 16).all()


def test_every_form_of_sequences_gives_the_same():
    stacks = vacuum(HRTEMNoise(**HRTEM), n_frames=6, levels=[60, 120])
    expected = HRTEMNoise().fit(stacks)
    together = np.concatenate(stacks)
    labels = np.repeat([120, 60], 6)
    order = np.arange(12).reshape(2, 6).T.ravel()  # taken turn by turn
    for noise in (
        HRTEMNoise().fit(tuple(stacks)),
        HRTEMNoise().fit(np.stack(stacks)),
        HRTEMNoise().fit([stack.tolist() for stack in stacks]),
        HRTEMNoise().fit(together, groups=labels),
        HRTEMNoise().fit(together[order], groups=labels[order]),
        HRTEMNoise().fit(together.astype("float64"), None, groups=labels.astype(str)),
    ):
        assert (noise.gain_, noise.offset_) == (expected.gain_, expected.offset_)
        assert noise.column_sigma_ == expected.column_sigma_
        assert noise.frame_shape_ == (48, 48)
        assert noise.transform(np.ones((2, 9, 9))).shape == (2, 9, 9)


def test_frames_are_read_two_at_a_time():
    class Counted(np.ndarray):
        largest = 0

        def __getitem__(self, index):
            part = super().__getitem__(index)
            if isinstance(index, slice):
                Counted.largest = max(Counted.largest, len(part))
            return np.asarray(part)

    stacks = [np.rint(s).astype("uint16").view(Counted) for s in vacuum(HRTEMNoise())]
    HRTEMNoise().fit(stacks)
    assert Counted.largest == 2


def test_brightness_and_scale_of_frames_carry_over():
    stacks = vacuum(HRTEMNoise(**HRTEM))
    noise = HRTEMNoise().fit(stacks)
    scaled = HRTEMNoise().fit([4 * stack for stack in stacks])
    assert scaled.gain_ == pytest.approx(noise.gain_, rel=1e-4)
    assert scaled.offset_ == pytest.approx(4 * noise.offset_, rel=1e-4)
    assert scaled.column_sigma_ == pytest.approx(4 * noise.column_sigma_, rel=1e-4)
    assert scaled.offset_stderr_ == pytest.approx(4 * noise.offset_stderr_, rel=1e-3)
    lifted = HRTEMNoise().fit([stack + 100 for stack in stacks])
    assert lifted.gain_ == pytest.approx(noise.gain_, rel=1e-3)
    assert lifted.offset_ == pytest.approx(noise.offset_ - 100 * noise.gain_, rel=1e-2)


@pytest.mark.parametrize("model", [HRTEMNoise, PoissonGaussianNoise])
def test_copies_are_as_good_as_the_original(model):
    truth = HRTEM if model is HRTEMNoise else COUNTING
    noise = model(random_state=5).fit(vacuum(model(**truth)))
    clean = np.full((2, 16, 16), 60.0)
    for again in (pickle.loads(pickle.dumps(noise)), copy.deepcopy(noise)):
        np.testing.assert_array_equal(again.transform(clean), noise.transform(clean))
        assert again.calibration_.points.equals(noise.calibration_.points)
        assert again.calibration_.holds
    assert not hasattr(clone(noise), "gain_")


def noisy(level, n_frames=8, shape=(16, 16)):
    return np.random.default_rng(0).normal(level, 3, (n_frames, *shape))


@pytest.mark.parametrize(
    "X, what",
    [
        ([noisy(50)], r"X holds one intensity, .* several beam intensities"),
        ([noisy(50), noisy(50)], "X holds one intensity"),
        ([noisy(50), noisy(60, n_frames=3)], r"X\[1\] holds 3 frame\(s\).* at least 4"),
        ([noisy(50, shape=(16, 7))], r"X\[0\] has frames of 16 x 7 px, too small"),
        ([noisy(50), np.ones((8, 16, 16))], r"X\[1\] holds frames without noise"),
        ([noisy(50), noisy(np.nan)], r"X\[1\]\[0:2\] contains NaN in frame 0"),
        ([noisy(50), 2 * noisy(20)], "noise that decreases as the signal grows"),
        ([noisy(50), noisy(60) * 1e25], r"X\[1\] has noise whose square is beyond float32"),
        ([noisy(50), noisy(60)[0]], r"X\[1\] holds frames of 1 dimension\(s\)"),
        ([[np.ones((8, 8)), np.ones((9, 8))], noisy(50)], "X holds frames of different shapes"),
        (np.empty((0, 8, 16, 16)), "X holds no sequence"),
    ],
)
def test_sequences_that_do_not_suffice_are_an_error(X, what):
    with pytest.raises(ValueError, match=what):
        quietly(HRTEMNoise(), X)


def test_noise_that_does_not_grow_is_that_of_no_counting_camera():
    frames = [noisy(100), 1.1 * noisy(50)]
    with pytest.raises(ValueError, match="X has noise that does not grow with the signal"):
        PoissonGaussianNoise().fit(frames)


@pytest.mark.parametrize("groups", [[0, 1], np.zeros((8, 1)), 3])
def test_groups_must_label_each_frame(groups):
    with pytest.raises(ValueError, match="groups has shape"):
        HRTEMNoise().fit(noisy(50), groups=groups)


def spread_of(scores):
    """Standard deviation of standardised errors, and 4.9 of its own standard errors."""
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
        # As variances, since near 0 a standard deviation is not normal.
        variance = sequences["column_sigma"] ** 2 - HRTEM["column_sigma"] ** 2
        columns.append(variance / (2 * sequences["column_sigma"] * sequences["column_stderr"]))
    spread, tolerance = spread_of(np.ravel(points))
    assert spread == pytest.approx(1, abs=tolerance)
    # Not linear, so compared by their quartiles, which are those of a normal variable.
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
    # Three sequences of nearly the same precision.
    assert np.mean(single) / combined == pytest.approx(np.sqrt(3), rel=0.2)


def table(n, **columns):
    usual = {"ks_pointwise": 0.5, "ks_columns": 0.5, "corr_y": 0.0, "corr_x": 0.0, "clipped": 0.0}
    index = pd.Index([f"X[{i}]" for i in range(n)], name="sequence")
    return pd.DataFrame(usual | columns, index=index)


def reasons_of(n=3, p_value=0.5, column_p_value=0.5, n_pixels=10**7, **columns):
    measured = [SimpleNamespace(n_pixels=n_pixels)] * n
    return _reasons(table(n, **columns), p_value, column_p_value, measured)


@pytest.mark.parametrize("n", [1, 3, 10])
def test_all_tests_together_have_the_level_of_one(n):
    # Two of all sequences and two of each, by Bonferroni's inequality.
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
    # Of 2,500 pixels the correlation is 0.02 by chance, so 0.1 is five standard errors.
    assert reasons_of(n_pixels=2500, **{name: sign * 0.099}) == []
    assert len(reasons_of(n_pixels=2500, **{name: sign * 0.101})) == 1


def test_reasons_name_the_sequences_concerned():
    (reason,) = reasons_of(clipped=[0.0, 0.02, 0.004])
    assert reason == "pixels are clipped in X[1] (2.0%)"
    (reason,) = reasons_of(ks_columns=[1e-9, 0.5, 1e-7])
    assert reason == "column noise has another distribution in X[0], X[2] (p = 1e-09)"
    assert reasons_of(clipped=[0.005] * 3) == []


def column_sequences(variance, floor, dof):
    return [
        SimpleNamespace(column_variance=v, column_floor=f, column_dof=n)
        for v, f, n in zip(variance, floor, dof, strict=True)
    ]


def test_sequences_are_combined_by_their_precision():
    # Variances of means of n values: chi-square with n degrees of freedom, times (true + floor).
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
    # An error of a hundredth of the standard deviation is allowed, far less than these scatter by.
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
        # Near zero: half of the root of the largest variance that is likely.
        assert found == pytest.approx(np.sqrt(stderr) / 2)


@pytest.mark.parametrize("difference, is_enough", [(9.8, False), (10.2, True)])
@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_intensities_differ_by_ten_standard_errors_and_a_quarter_of_the_noise(
    unit, difference, is_enough
):
    def check(apart, stderr, sigma):
        intensity, full = np.array([50.0, 50.0 + apart]), np.ones(2)
        _require_spread(
            VariancePoints(
                unit * intensity, unit * stderr * full, (unit * sigma) ** 2 * full, 50 * full, 0
            ),
            [],
        )

    cases = [(0.1 * difference, 0.1, 1e-3), (0.025 * difference, 1e-6, 1.0)]
    for case in cases:
        if is_enough:
            check(*case)
        else:
            with pytest.raises(ValueError, match="X holds one intensity"):
                check(*case)


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
    # If neither fits, the difference counts in units of the better one's excess.
    assert preferred(120, 50) == (model, False)
    assert preferred(160, 50) == (*other, True)
    # Two points lie on any line.
    assert preferred(0, 0, dof=0) == (model, False)
