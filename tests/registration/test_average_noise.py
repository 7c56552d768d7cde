import numpy as np
import pytest
from scipy import ndimage

from stemkit.registration import Motion
from stemkit.registration._average_noise import (
    Differences,
    Sampled,
    interpolation_transfer,
    mean_gain,
    noise_gain,
    overlap,
    relative_noise,
)
from stemkit.registration._canvas import choose_canvas, source_of

from .drifting_series import record, walk

SHAPE = (64, 70)


@pytest.mark.parametrize(
    "parameters",
    [{"drift": (0, 0)}, {"drift": (2.5, -1.25)}, {"drift": (1.3, 0), "rotation": 0.3}],
)
def test_the_gain_is_the_variance_of_interpolated_noise(parameters):
    motion = Motion.from_parameters(SHAPE, **parameters)
    canvas = choose_canvas([motion], "first")
    source = source_of(motion, canvas, canvas.whole())
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((200, *SHAPE)).astype("f4")
    inner = ndimage.binary_erosion(source.is_inside(SHAPE), iterations=5)
    found = np.var([source.sample(frame, order=3) for frame in noise], axis=0)
    expected = np.broadcast_to(noise_gain(source), SHAPE)
    np.testing.assert_allclose(np.mean((found / expected)[inner]), 1, rtol=0.01)
    assert np.std((found / expected)[inner]) < 1.3 * np.sqrt(2 / 200)


def test_the_mean_gain_is_that_of_all_fractions_and_of_its_spectrum():
    drifts = np.random.default_rng(0).uniform(-3, 3, (400, 2))
    gains = []
    for drift in drifts:
        motion = Motion((8, 8), drift)
        canvas = choose_canvas([motion], "first")
        gains.append(noise_gain(source_of(motion, canvas, canvas.whole())))
    assert np.mean(gains) == pytest.approx(mean_gain(), rel=0.03)
    assert interpolation_transfer(64).mean() ** 2 == pytest.approx(mean_gain(), rel=1e-3)
    assert interpolation_transfer(64)[0] == pytest.approx(1)


def test_windows_share_their_overlap():
    one, other = (slice(2, 9), slice(0, 5)), (slice(4, 12), slice(3, 7))
    canvas = np.arange(200).reshape(20, 10)
    shared, in_one, in_other = overlap(one, other)
    np.testing.assert_array_equal(canvas[shared], canvas[4:9, 3:5])
    np.testing.assert_array_equal(canvas[one][in_one], canvas[shared])
    np.testing.assert_array_equal(canvas[other][in_other], canvas[shared])
    apart = overlap((slice(0, 3), slice(0, 3)), (slice(5, 7), slice(0, 3)))[0]
    assert canvas[apart].size == 0


def sums_of(frames):
    differences = Differences(frames.shape[1:])
    everywhere = (slice(0, frames.shape[1]), slice(0, frames.shape[2]))
    for frame in frames:
        differences.add(Sampled(everywhere, frame, np.ones(frame.shape, bool), 1.0), 1.0)
    return differences


@pytest.mark.parametrize("n_frames", [2, 20])
def test_variances_follow_the_intensity(n_frames):
    level = np.broadcast_to(np.repeat([20.0, 100.0, 500.0], 40), (60, 120))
    rng = np.random.default_rng(0)
    frames = rng.poisson(level, (n_frames, 60, 120)).astype(float)
    differences = sums_of(frames)
    shown = np.ones(level.shape, bool)
    found = differences.variance(frames.mean(axis=0), shown, 1 / n_frames)
    for value in (20, 100, 500):
        assert found[level == value].mean() == pytest.approx(value, rel=0.12)


def test_where_no_count_fell_by_chance_there_is_noise_too():
    rng = np.random.default_rng(0)
    level = np.where(np.arange(90) < 60, 0.15, 3.0) * np.ones((80, 1))
    frames = rng.poisson(level, (2, *level.shape)).astype(float)
    found = sums_of(frames).variance(frames.mean(axis=0), np.ones(level.shape, bool), 1 / 2)
    z = (frames.mean(axis=0) - level) / np.sqrt(found / 2)
    assert 0.85 < np.sqrt(np.mean(z[:, :58] ** 2)) < 1.15
    assert 0.85 < np.sqrt(np.mean(z[:, 62:] ** 2)) < 1.15


def test_slow_changes_are_no_noise():
    rng = np.random.default_rng(0)
    fading = 100 * np.exp(-np.arange(40) / 40)[:, None, None]
    frames = fading + rng.normal(0, 3, (40, 50, 50))
    found = sums_of(frames).variance(frames.mean(axis=0), np.ones((50, 50), bool), 1 / 40)
    assert frames.var(axis=0).mean() > 200
    assert found.mean() == pytest.approx(9, rel=0.25)


def test_a_region_of_more_noise_is_seen_at_the_same_intensity():
    rng = np.random.default_rng(0)
    spread = np.where(np.arange(80) < 40, 1.0, 4.0)
    frames = 50 + rng.normal(0, 1, (12, 80, 80)) * spread
    found = sums_of(frames).variance(frames.mean(axis=0), np.ones((80, 80), bool), 1 / 12)
    assert found[:, :38].mean() < 3
    assert found[:, 42:].mean() > 12


def test_nothing_is_known_of_a_single_frame():
    found = sums_of(np.ones((1, 8, 8))).variance(np.ones((8, 8)), np.ones((8, 8), bool), 1.0)
    assert np.isnan(found).all()


def test_the_noise_of_each_frame_is_told_from_three():
    motions = walk(9, SHAPE, rotation=0.01)
    doses = np.array([40, 10, 40, 40, 10, 5, 40, 40, 20])
    series = record(motions, doses)
    found = relative_noise(series.frames / doses[:, None, None], motions)
    expected = (1 / doses) / np.median(1 / doses)
    np.testing.assert_allclose(found, expected, rtol=0.15)
    np.testing.assert_array_equal(relative_noise(series.frames[:2], motions[:2]), [1, 1])
