"""The noise of one sequence, its samples and its points, compared with theory."""

import numpy as np
import pytest
from scipy import stats

from stemkit.noise._sequence import _Extreme, _unbiased, dither, measure_sequence


def sequence(n_frames=16, shape=(24, 30), level=50.0, sigma=3.0, column_sigma=0.0, seed=0):
    rng = np.random.default_rng(seed)
    frames = level + sigma * rng.normal(size=(n_frames, *shape))
    return frames + column_sigma * rng.normal(size=(n_frames, 1, shape[1]))


def test_each_pixel_of_a_small_frame_is_sampled_once():
    # The frames have fewer pixels than the sample, all with different values.
    frames = sequence(8, (9, 11), level=np.arange(99.0).reshape(9, 11) ** 2)
    found = measure_sequence(frames, "X")
    mean = np.sort(frames.astype("f4").astype(float).mean(axis=0).ravel())
    np.testing.assert_allclose(np.sort(found.pointwise_intensity), np.repeat(mean, 8), rtol=1e-5)
    assert found.pointwise.size == 8 * 99
    assert found.columns.size == 8 * 11
    assert found.n_pixels == 8 * 99


@pytest.mark.parametrize("n_frames, n_sampled", [(4, 4), (20, 20), (21, 20), (50, 20)])
def test_at_most_twenty_frames_are_sampled(n_frames, n_sampled):
    found = measure_sequence(sequence(n_frames, (40, 40)), "X")
    assert found.n_frames == n_frames
    assert found.n_pixels == n_sampled * 1600
    assert found.pointwise.size == min(n_sampled * 1600, 10_000)
    assert found.columns.size == n_sampled * 40


@pytest.mark.parametrize("n_frames", [4, 16])
@pytest.mark.parametrize("shape", [(9, 60), (60, 9), (30, 30)])
def test_samples_are_in_standard_deviations(n_frames, shape):
    columns, pixels = [], []
    for seed in range(20):
        found = measure_sequence(sequence(n_frames, shape, column_sigma=2.0, seed=seed), "X")
        columns.append(found.columns.std())
        pixels.append(found.pointwise.std())
    # The loss of degrees of freedom by subtracted means is corrected.
    assert np.mean(pixels) == pytest.approx(1, abs=0.02)
    assert np.mean(columns) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("shape", [(9, 60), (60, 9)])
def test_variances_are_unbiased_in_short_and_long_columns(shape):
    sigma, column_sigma, found = 3.0, 2.0, []
    for seed in range(40):
        one = measure_sequence(
            sequence(8, shape, sigma=sigma, column_sigma=column_sigma, seed=seed), "X"
        )
        found.append((one.sigma**2, one.column_variance, one.column_floor))
        assert one.column_dof == 4 * (shape[1] - 2)
    mean, stderr = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(40)
    expected = np.array([sigma**2, column_sigma**2, sigma**2 / shape[0]])
    assert (np.abs(mean - expected) < 4.9 * stderr).all()


def test_variance_of_single_pixels_is_unbiased_if_noise_differs_within_a_column():
    # The mean of a column contains the stronger noise of its bright pixels.
    rng, n_pairs, shape = np.random.default_rng(0), 4000, (9, 12)
    sigma = np.where(np.arange(9)[:, None] < 3, 5.0, 0.5) * np.ones(shape)
    steps = sigma * rng.normal(size=(n_pairs, *shape))
    steps -= steps.mean(axis=1, keepdims=True)
    # Without a pattern, all degrees of freedom are left.
    found = _unbiased((steps**2).sum(axis=0), n_pairs) * (1 - 1 / (12 * 8))
    stderr = np.sqrt(2 / n_pairs) * (sigma**2 + sigma.max() ** 2 / 20)
    assert (np.abs(found - sigma**2) < 5 * stderr).all()


def test_neighbours_are_correlated_as_they_were_made():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(20, 61, 62))
    assert np.abs(measure_sequence(white, "X").correlation).max() < 5 / np.sqrt(white.size)
    # Neighbours share half of their variance, so the correlation is 1/2.
    along_y = (white[:, 1:] + white[:, :-1]) / np.sqrt(2)
    along_x = (white[:, :, 1:] + white[:, :, :-1]) / np.sqrt(2)
    assert measure_sequence(along_x, "X").correlation == pytest.approx((0, 0.5), abs=0.02)
    found = measure_sequence(along_y, "X").correlation
    assert found[0] == pytest.approx(0.5, abs=0.03)
    assert found[1] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("n_frames, values", [(6, 8), (7, 8), (6, 1000)])
def test_ends_are_the_extremes_of_whole_pairs_and_their_shares(n_frames, values):
    frames = np.random.default_rng(0).integers(0, values, (n_frames, 10, 12)).astype(float)
    found = measure_sequence(frames, "X")
    used = frames[:6]  # the last frame of an odd number has no partner
    expected = [(end, (used == end).mean()) for end in (used.min(), used.max())]
    np.testing.assert_allclose(found.ends, expected)
    assert found.whole
    assert not measure_sequence(frames + 0.5, "X").whole


@pytest.mark.parametrize("order", [1, -1])
def test_an_extreme_is_counted_over_all_updates(order):
    values = order * np.array([[3, 3], [2, 4], [2, 2], [5, 1], [1, 5], [4, 4]], dtype="f4")
    for find in (np.min, np.max):
        extreme = _Extreme(find)
        for pair in values:
            extreme.update(pair)
        assert extreme.value == find(values)
        assert extreme.count == (values == find(values)).sum()


def test_a_single_whole_pair_among_others_does_not_make_counts():
    frames = sequence(6, (12, 12))
    for first in (0, 4):
        mixed = frames.copy()
        mixed[first : first + 2] = np.rint(mixed[first : first + 2])
        assert not measure_sequence(mixed, "X").whole
    assert measure_sequence(np.rint(frames), "X").whole


def test_dither_is_uniform_over_one_count():
    values = dither(20_000)
    assert stats.kstest(values + 0.5, "uniform").pvalue > 1e-6
    np.testing.assert_array_equal(values, dither(20_000))


def test_a_flat_field_is_two_points_and_one_with_structure_many():
    flat = measure_sequence(sequence(shape=(32, 32)), "X").points
    assert len(flat.intensity) == 2
    assert (flat.spread == 0).all()
    assert flat.intensity == pytest.approx(np.full(2, 50), abs=5 * 3 / np.sqrt(8 * 1024))
    assert flat.variance == pytest.approx(np.full(2, 9), rel=0.12)
    # Pixels of eight of the 16 frames, less the columns' means.
    np.testing.assert_allclose(flat.dof, 1024 * 4 * (1 - 1 / 32))
    np.testing.assert_allclose(flat.intensity_stderr, 3 / np.sqrt(8 * 1024), rtol=0.1)
    ramp = np.linspace(0, 100, 1024).reshape(32, 32)
    found = measure_sequence(sequence(shape=(32, 32), level=ramp), "X").points
    assert len(found.intensity) == 2 * 4
    # Each bin has 256 pixels; its intensities are uniform over a quarter of the range.
    np.testing.assert_allclose(np.sort(found.intensity)[::2], [12.5, 37.5, 62.5, 87.5], atol=1.5)
    np.testing.assert_allclose(found.spread, 25**2 / 12, rtol=0.15)
    np.testing.assert_allclose(found.dof.sum(), 2 * 1024 * 4 * (1 - 1 / 32))


@pytest.mark.parametrize("side, n_bins", [(16, 4), (40, 6), (64, 16), (120, 56), (140, 64)])
def test_points_have_at_least_256_pixels_and_are_4_to_64(side, n_bins):
    ramp = np.linspace(0, 500, side**2).reshape(side, side)
    points = measure_sequence(sequence(4, (side, side), level=ramp), "X").points
    assert len(points.intensity) == 2 * n_bins


@pytest.mark.parametrize("n_frames", [4, 10])
def test_spread_of_the_true_intensities_is_unbiased(n_frames):
    # The noise of the means, of similar size, has to be subtracted.
    ramp, found = np.linspace(0, 100, 1024).reshape(32, 32), []
    for seed in range(60):
        frames = sequence(n_frames, (32, 32), ramp, sigma=25, column_sigma=10, seed=seed)
        points = measure_sequence(frames, "X").points
        # The total spread of each half is that between its bins and within them.
        for half in np.split(np.arange(8), 2):
            found.append(points.intensity[half].var() + points.spread[half].mean())
    stderr = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(100**2 / 12, abs=4.9 * stderr)
    assert stderr < 12


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_dead_pixels_are_no_points(level):
    # Their noise is exactly zero, and the frames are not whole numbers.
    frames = sequence(16, (64, 64), level=80.0)
    frames[:, :, :20] = level
    points = measure_sequence(frames, "X").points
    assert (points.variance > 0).all()
    assert (points.intensity > 10).all()


def test_rounding_is_subtracted_from_whole_numbers_only():
    frames = sequence(60, (40, 40), sigma=0.8)
    exact, rounded = measure_sequence(frames, "X"), measure_sequence(np.rint(frames), "X")
    assert exact.sigma == pytest.approx(0.8, rel=0.02)
    assert rounded.sigma == pytest.approx(0.8, rel=0.02)
    np.testing.assert_allclose(rounded.points.variance, 0.64, rtol=0.03)


@pytest.mark.parametrize("unit", [1e-6, 1e5])
def test_the_unit_of_counts_scales_the_noise(unit):
    frames = (2.0**-3 + sequence(8, (20, 24), column_sigma=1.0)).astype("f4")
    one, other = measure_sequence(frames, "X"), measure_sequence(np.float64(unit) * frames, "X")
    assert other.sigma == pytest.approx(unit * one.sigma, rel=1e-4)
    assert other.column_variance == pytest.approx(unit**2 * one.column_variance, rel=1e-3)
    np.testing.assert_allclose(other.pointwise, one.pointwise, atol=1e-3)
    np.testing.assert_allclose(other.columns, one.columns, atol=1e-3)
    assert len(other.points.intensity) == len(one.points.intensity)


@pytest.mark.parametrize("frames", [sequence(3), sequence(8, (7, 20)), sequence(8, (20, 7))])
def test_sequences_that_are_too_small_are_an_error(frames):
    with pytest.raises(ValueError, match=r"^X has frames|^X holds 3 frame"):
        measure_sequence(frames, "X")
    assert measure_sequence(sequence(4, (8, 8)), "X").n_frames == 4


@pytest.mark.parametrize("shape", [(8, 60), (60, 8)])
def test_white_noise_of_small_frames_is_not_correlated(shape):
    found = [measure_sequence(sequence(8, shape, seed=s), "X").correlation for s in range(16)]
    stderr = np.full(2, 1 / np.sqrt(16 * 8 * 480))
    assert (np.abs(np.mean(found, axis=0)) < 4.9 * stderr).all()


@pytest.mark.parametrize("shape", [(3, 2), (5, 8), (30, 4)])
def test_variances_follow_from_the_degrees_of_freedom_that_are_left(shape):
    # Of all pixels, less one mean of each column and the pattern.
    height, width = shape
    left = width * (height - 1) - 1
    squares = np.full(shape, 7 * left / (height * width))
    np.testing.assert_allclose(_unbiased(squares, 7), 1, rtol=1e-12)
