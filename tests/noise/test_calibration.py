"""Calibrations recover parameters from sequences in all accepted forms."""

import copy
import pickle

import numpy as np
import pytest
from scipy import ndimage, stats
from sklearn.base import clone

from stemkit.noise import HRTEMNoise, PoissonGaussianNoise
from stemkit.noise._calibration import _require_spread
from stemkit.noise._variance_law import VariancePoints

from .cameras import COUNTING, HRTEM, LEVEL, LEVELS, quietly, vacuum, z_scores


def field(side=128, low=60.0, high=160.0):
    """A lattice of bright columns."""
    y, x = np.mgrid[:side, :side]
    peaks = np.cos(2 * np.pi * x / 12) * np.cos(2 * np.pi * y / 10)
    return low + (high - low) * ndimage.gaussian_filter((peaks > 0.5) * 1.0, 1.5)


def scores_of_many(estimator, truth, seeds, frames):
    """Errors in units of the standard errors that each fit reports, (seeds, parameters)."""
    return np.array([z_scores(clone(estimator).fit(frames(seed)), truth) for seed in range(seeds)])


def assert_standard_normal(scores):
    """Check that errors have mean 0 and the reported spread, at a level of one in a million."""
    n = len(scores)
    assert (np.abs(scores.mean(axis=0)) < 4.9 / np.sqrt(n)).all()
    share = (scores**2).mean(axis=0)
    assert (share < 1 + 4.9 * np.sqrt(2 / n) + 12 / n).all()
    assert (share > (1 - 2.3 / np.sqrt(n)) ** 3).all()


def test_parameters_from_vacuum_frames_are_unbiased():
    fits = [HRTEMNoise().fit(vacuum(HRTEMNoise(**HRTEM), seed)) for seed in range(20)]
    assert_standard_normal(np.array([z_scores(noise, HRTEM) for noise in fits]))
    # Residuals of all points have the distribution given by their errors.
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
    # With few frames of low contrast, bins of intensity must not depend on the noise of pixels.
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
    # A test for a continuous distribution would reject such coarse steps without dithering.
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
    # If sequences with a low sample variance had larger weights, the result would be 5 % too low.
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
    assert {0.0} < {noise.gain_ for noise in fits}  # by chance some have a slope below 0


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
    order = np.arange(12).reshape(2, 6).T.ravel()  # frames of the sequences alternate
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
        ([noisy(50), noisy(np.nan)], r"X\[1\]\[0:2\] lacks 100% of the pixels of frame 0"),
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
