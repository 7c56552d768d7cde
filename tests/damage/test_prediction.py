import numpy as np
import pytest
from scipy import ndimage

from stemkit.damage._prediction import explained_share, mean_over_specimen, predict_frames
from stemkit.datasets import make_damage_sequence
from stemkit.registration import Motion

SHAPE = (60, 72)
FIRST = np.random.default_rng(0).random(SHAPE).astype("float32")


@pytest.mark.parametrize("t", [0.25, 0.5, 1.0])
def test_the_local_mean_changes_linearly_with_time(t):
    # The background of the second frame is brighter by 2, and nothing is damaged.
    decay, overlap = np.ones((1, *SHAPE), "float32"), np.ones(SHAPE, dtype=bool)
    frames = predict_frames(FIRST, FIRST + 2, overlap, decay, Motion(SHAPE), np.array([t]), 1)
    np.testing.assert_allclose(frames[0], FIRST + 2 * t, atol=1e-4)


def test_structure_fades_with_the_decay_about_the_local_mean():
    decay, overlap = np.full((1, *SHAPE), 0.3, "float32"), np.ones(SHAPE, dtype=bool)
    frames = predict_frames(FIRST, FIRST, overlap, decay, Motion(SHAPE), np.array([0.5]), 1)
    mean = ndimage.gaussian_filter(FIRST, 16)
    np.testing.assert_allclose(frames[0], mean + 0.3 * (FIRST - mean), atol=1e-4)


def test_outside_the_overlap_the_local_mean_stays():
    decay, overlap = np.ones((1, *SHAPE), "float32"), np.ones(SHAPE, dtype=bool)
    overlap[:, 50:] = False
    frames = predict_frames(FIRST, FIRST + 2, overlap, decay, Motion(SHAPE), np.array([0.5]), 1)
    np.testing.assert_allclose(frames[0], FIRST + overlap, atol=1e-4)


def test_frames_in_between_have_moved_a_share_of_the_way():
    decay, overlap = np.ones((1, *SHAPE), "float32"), np.ones(SHAPE, dtype=bool)
    motion = Motion(SHAPE, drift=(4, -8))
    frames = predict_frames(FIRST, FIRST, overlap, decay, motion, np.array([0.5]), 1)
    np.testing.assert_allclose(frames[0][2:, :-4], FIRST[:-2, 4:], atol=1e-3)


@pytest.mark.parametrize("scale", [1e-30, 1e30, 1e36])
def test_a_mean_over_the_specimen_holds_any_float(scale):
    rng = np.random.default_rng(0)
    first, values = rng.uniform(1, 99, (2, 40, 40)).astype("float32")
    expected = mean_over_specimen(first, values)
    assert 30 < expected < 70
    scale = np.float32(scale)
    assert mean_over_specimen(scale * first, values) == pytest.approx(expected, rel=1e-4)
    assert mean_over_specimen(first, scale * values) == pytest.approx(scale * expected, rel=1e-4)


def test_explained_share_is_that_of_the_power():
    overlap = np.ones(SHAPE, dtype=bool)
    for decay, expected in ((0.5, 1.0), (0.25, 0.75), (0.0, 0.0), (1.0, 0.0)):
        # The second frame has half of the structure.
        found = explained_share(FIRST, 0.5 * FIRST, np.full(SHAPE, decay, "float32"), overlap)
        assert found == pytest.approx(expected, abs=1e-5)


def test_explained_share_is_that_of_the_overlap():
    decay, overlap = np.full(SHAPE, 0.25, "float32"), np.ones(SHAPE, dtype=bool)
    decay[:, 50:], overlap[:, 50:] = 9, False
    assert explained_share(FIRST, 0.5 * FIRST, decay, overlap) == pytest.approx(0.75, abs=1e-5)
    assert explained_share(FIRST, 0 * FIRST, decay, overlap) == 0
    assert explained_share(FIRST, FIRST, decay, np.zeros(SHAPE, dtype=bool)) == 0


def test_noise_and_offsets_are_no_structure():
    decay, overlap = np.ones(SHAPE, "float32"), np.ones(SHAPE, dtype=bool)
    smooth = ndimage.gaussian_filter(FIRST, 3) * 20
    noise = np.random.default_rng(1).normal(0, 0.5, SHAPE).astype("float32")
    assert explained_share(smooth, smooth + 7, decay, overlap) == pytest.approx(1, abs=1e-4)
    # Light smoothing leaves a twelfth of the variance of white noise.
    raw = 1 - noise.var() / (smooth + noise).var()
    assert explained_share(smooth, smooth + noise, decay, overlap) > raw + 0.1


def test_a_mean_over_the_specimen_is_weighted_by_its_structure():
    first = FIRST.copy()
    first[:, :60] = 0
    values = np.zeros(SHAPE, "float32")
    values[:, :20] = 1
    # These columns have nearly a third of the area, but hardly any weight.
    assert 0 < mean_over_specimen(first, values) < 0.05
    assert mean_over_specimen(first, 1 - values) > 0.95
    assert mean_over_specimen(np.ones(SHAPE, "float32"), values) == 0


def test_the_local_mean_is_that_of_binned_frames():
    decay, overlap = np.full((1, *SHAPE), 0.3, "float32"), np.ones(SHAPE, dtype=bool)
    first = (FIRST + np.linspace(0, 3, SHAPE[1])).astype("float32")
    frames = predict_frames(first, first, overlap, decay, Motion(SHAPE), np.array([0.5]), 2)
    # The window has the same width in binned px.
    mean = ndimage.gaussian_filter(first, 32)
    np.testing.assert_allclose(frames[0], mean + 0.3 * (first - mean), atol=0.03)


def test_the_mean_is_of_the_pixels_that_are_asked_for():
    first = make_damage_sequence("gaussian", 2, shape=(64, 64), random_state=0).frames[0]
    left = np.zeros((64, 64), bool)
    left[:, :30] = True
    values = np.where(left, 0.25, 0.75).astype("f4")
    assert mean_over_specimen(first, values, left) == pytest.approx(0.25)
    assert mean_over_specimen(first, values, ~left) == pytest.approx(0.75)
    assert mean_over_specimen(first, values, np.zeros_like(left)) == 0
    with pytest.raises(ValueError, match="where has shape"):
        mean_over_specimen(first, values, left[1:])
