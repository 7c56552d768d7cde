import numpy as np
import pytest
from scipy import ndimage

from stemkit.damage._prediction import mean_over_specimen, predict_frames
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
