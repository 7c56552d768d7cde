"""Tests of changes of gain and exposure within a series."""

import warnings

import numpy as np
import pytest

from stemkit import DriftDecayModel
from stemkit.damage._exposure import equalize
from stemkit.datasets import make_damage_sequence, make_drift_pairs, make_llzo_series
from stemkit.exceptions import ExposureChangeWarning
from stemkit.io import FrameStack


@pytest.fixture(scope="module")
def llzo():
    return make_llzo_series(4, shape=(256, 256), random_state=0).frames


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("gain", [0.25, 0.7, 1.5, 4.0])
def test_changes_of_the_gain_are_divided_out(llzo, gain, unit):
    frames = unit * llzo * np.array([1, gain, 1, gain], np.float32)[:, None, None]
    with pytest.warns(ExposureChangeWarning, match="frame 1 has .* times the gain, by its noise"):
        equal = equalize(frames.astype("f4"), "auto")
    found = equal.mean((1, 2)) / (unit * llzo.mean((1, 2)))
    np.testing.assert_allclose(found, 1, atol=0.12)
    np.testing.assert_array_equal(equal[[0, 2]], frames[[0, 2]].astype("f4"))


@pytest.mark.parametrize("offset", [0, 300])
def test_given_exposures_are_divided_out(llzo, offset):
    exposure = np.array([2.0, 3.0, 1.0, 8.0])
    frames = (llzo * (exposure / 2)[:, None, None]).astype("f4")
    np.testing.assert_allclose(equalize(frames, exposure), llzo, rtol=1e-5)
    assert equalize(llzo, None) is llzo


@pytest.mark.parametrize("kind", ["gaussian", "perlin", "random"])
@pytest.mark.parametrize("dose", [2, 50, None])
def test_damage_alone_is_no_change_of_exposure(llzo, kind, dose):
    frames = make_damage_sequence(kind, 4, shape=(160, 160), dose=dose, random_state=1).frames
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equalize(frames, "auto") is frames
        assert equalize(llzo, "auto") is llzo
        assert equalize(llzo + np.float32(100), "auto").shape == llzo.shape


def test_longer_exposures_of_an_undamaged_specimen_are_divided_out():
    expected = make_damage_sequence("gaussian", 2, shape=(160, 160), random_state=1).frames[0] + 0.3
    rng = np.random.default_rng(0)
    frames = np.stack([rng.poisson(dose * expected) for dose in (50, 200)]).astype("f4")
    with pytest.warns(ExposureChangeWarning, match="dark and bright alike"):
        equal = equalize(frames, "auto")
    np.testing.assert_allclose(equal[1].mean() / equal[0].mean(), 1, atol=0.03)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("n", [4, 8])
@pytest.mark.parametrize("first", [False, True])
def test_averages_of_frames_are_not_divided(n, first, unit):
    clean = make_damage_sequence("gaussian", 2, shape=(160, 160), random_state=1).frames + 0.3
    rng = np.random.default_rng(0)
    average = rng.poisson(60 * n * clean[0]) / n
    frames = np.stack([average, rng.poisson(60 * clean[1])][:: 1 if first else -1])
    frames = (unit * frames).astype("f4")
    with pytest.warns(ExposureChangeWarning, match=r"do not follow it: frame 1 .* Nothing was div"):
        assert equalize(frames, "auto") is frames
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equalize(frames, None) is frames


@pytest.mark.parametrize("gain", [0.25, 4.0])
@pytest.mark.parametrize("kept", [1.0, 0.4])
def test_the_gain_of_damaged_frames_with_an_offset_is_divided_out(gain, kept):
    clean = make_damage_sequence("gaussian", 2, shape=(160, 160), random_state=1).frames[0]
    rng = np.random.default_rng(0)
    frames = [rng.poisson(60 * (clean + 0.3)), gain * rng.poisson(60 * (kept * clean + 0.3))]
    with pytest.warns(ExposureChangeWarning, match="times the gain, by its noise"):
        equal = equalize(np.stack(frames).astype("f4"), "auto")
    # As exact as the noise tells the gain.
    assert equal[1].sum() / frames[1].sum() == pytest.approx(1 / gain, rel=0.4)


def test_damage_does_not_follow_the_gain():
    model = DriftDecayModel()
    pair = make_llzo_series(4, random_state=0).frames[[0, 3]]
    expected = model.predict(pair).damage.mean()
    for gain in (4, 0.25):
        other = np.stack([pair[0], gain * pair[1]])
        with pytest.warns(ExposureChangeWarning):
            assert model.predict(other).damage.mean() == pytest.approx(expected, abs=0.06)
        given = DriftDecayModel(exposure=[1, gain]).predict(other)
        assert given.damage.mean() == pytest.approx(expected, abs=1e-3)
        # Without it damage is another.
        as_they_are = DriftDecayModel(exposure=None).predict(other).damage.mean()
        assert abs(as_they_are - expected) > 0.2


@pytest.mark.filterwarnings("ignore::stemkit.exceptions.LowConfidenceWarning")
def test_the_frame_at_half_the_time_has_the_unit_of_the_first(llzo):
    pair = np.stack([llzo[0], 4 * llzo[3]])
    state = DriftDecayModel(exposure=[1, 4]).predict(pair, t=0.5)
    assert state.frame.mean() == pytest.approx(llzo[0].mean(), rel=0.1)


@pytest.mark.parametrize(
    "exposure", [[1, 2, 3], [1, -1], [1, 0], [1, np.nan], [1, np.inf], [[1, 2]], "x", 2.0]
)
def test_wrong_exposures_are_named(llzo, exposure):
    with pytest.raises((ValueError, TypeError), match=r"^exposure must be"):
        DriftDecayModel(exposure=exposure).predict(llzo[:2])


def test_parts_without_data_tell_nothing_about_the_exposure(llzo):
    missing = np.zeros(llzo.shape, bool)
    missing[1, 100:] = missing[2, :, 128:] = True
    frames = np.where(missing, llzo.mean(), llzo).astype("f4")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExposureChangeWarning)
        assert equalize(frames, "auto", missing=missing) is frames
    gains = np.array([1, 1.5, 1, 0.6], np.float32)[:, None, None]
    with pytest.warns(ExposureChangeWarning):
        equal = equalize(frames * gains, "auto", missing=missing)
    np.testing.assert_allclose(equal.mean((1, 2)) / frames.mean((1, 2)), 1, atol=0.12)


def test_recorded_exposures_are_divided_out_by_default(llzo):
    recorded = np.array([0.5, 1.0, 0.5, 0.25])
    frames = (llzo * (recorded / 0.5)[:, None, None]).astype("f4")
    with pytest.warns(ExposureChangeWarning, match="records differ, from 0.5 to 2 times"):
        equal = equalize(frames, "auto", recorded=recorded)
    np.testing.assert_allclose(equal, llzo, rtol=1e-5)
    assert equalize(frames, None, recorded=recorded) is frames
    pair = make_drift_pairs(1, shape=(128, 128), max_drift=0.05, random_state=3).pairs[0]
    exposed = pair * np.array([1, 2], np.float32)[:, None, None]
    model = DriftDecayModel(max_epochs=0)
    with pytest.warns(ExposureChangeWarning, match="stack records"):
        maps = model.decay_maps(FrameStack(exposed, exposure=np.array([0.5, 1.0])))
    np.testing.assert_allclose(maps, model.decay_maps(pair), atol=0.02)


@pytest.fixture(scope="module")
def pair_of_other_dwell_times(llzo):
    return FrameStack(np.stack([llzo[0], 3 * llzo[3]]), dwell_time=np.array([1e-6, 3e-6]))


@pytest.mark.filterwarnings("ignore::stemkit.exceptions.LowConfidenceWarning")
def test_exposures_that_a_pair_records_are_divided_out(llzo, pair_of_other_dwell_times):
    model = DriftDecayModel()
    expected = model.predict(llzo[[0, 3]]).damage
    with pytest.warns(ExposureChangeWarning, match="dwell times that pair records differ"):
        found = model.predict(pair_of_other_dwell_times).damage
    np.testing.assert_allclose(found, expected, atol=1e-3)
    moved = model.register(pair_of_other_dwell_times).motion.drift
    np.testing.assert_allclose(moved, model.register(llzo[[0, 3]]).motion.drift, atol=1e-3)


def test_scores_use_recorded_exposures(llzo):
    exposures = np.array([1.0, 3.0, 0.5, 3.0])
    spoilt = llzo * exposures[:, None, None].astype("f4")
    expected = DriftDecayModel().score(llzo)
    with pytest.warns(ExposureChangeWarning, match="that the pair records differ"):
        found = DriftDecayModel().score(FrameStack(spoilt, exposure=exposures))
    assert found == pytest.approx(expected, abs=1e-3)
