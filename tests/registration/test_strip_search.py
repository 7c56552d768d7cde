import numpy as np
import pytest

from stemkit.registration._binning import wide_gaussian_filter
from stemkit.registration._strip_search import Reference, find_strips, noise_variance
from tests.registration.scanned_series import record, settling


def detail(frame):
    return (frame - wide_gaussian_filter(frame, 8)).astype(float)


def strips_of(frames, center=(0, 0), reach=24):
    first, second = map(detail, frames)
    mask = np.ones(first.shape, bool)
    reference = Reference(first, mask, noise_variance(frames[0]), (0, 0))
    return find_strips(second, reference, np.array(center), reach)


def test_strips_follow_a_path_within_the_frame():
    rows = np.arange(96)
    bend = np.stack([4 * np.sin(rows / 40), 6 * np.cos(rows / 30)], -1)
    strips = strips_of(record(np.stack([np.zeros((96, 2)), bend]), dose=30))
    true = bend[np.rint(strips.row).astype(int)]
    off = np.hypot(*(strips.displacement - true).T)
    certain = strips.probability > 0.9
    assert certain.mean() > 0.7
    assert np.median(off[certain]) < 0.6
    assert off[certain].max() < 2
    assert 0.05 < np.median(strips.stderr) < 1


@pytest.mark.parametrize("drift", [(7, -9), (-12, 3)])
def test_the_center_is_added(drift):
    paths = np.zeros((2, 96, 2))
    paths[1] = drift
    strips = strips_of(record(paths, dose=50), center=drift, reach=10)
    np.testing.assert_allclose(np.median(strips.displacement, axis=0), drift, atol=0.6)


def test_noise_gives_no_probability():
    frames = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    assert np.median(strips_of(frames).probability) < 0.3


def test_the_unit_of_intensity_does_not_matter():
    frames = record(settling(2, 64, (4, -3)), dose=30)
    one, other = strips_of(frames), strips_of(frames * np.float32(1e-6))
    np.testing.assert_allclose(one.displacement, other.displacement, atol=1e-3)
    np.testing.assert_allclose(one.probability, other.probability, atol=1e-3)


def test_a_path_that_is_known_undoes_the_shift_of_rows():
    shifts = np.zeros((2, 128, 2))
    shifts[1, :, 1] = np.random.default_rng(3).normal(0, 2, 128)
    frames = record(shifts, dose=100)
    first, second = map(detail, frames)
    reference = Reference(first, np.ones(first.shape, bool), noise_variance(frames[0]), (0, 0))
    known = find_strips(second, reference, np.zeros(2, int), 20, path=shifts[1])
    strips = find_strips(second, reference, np.zeros(2, int), 20)
    true = np.stack([shifts[1, s : s + 8].mean(0) for s in range(0, 121, 4)])
    off, without = (
        np.median(np.hypot(*(found.displacement - true).T)) for found in (known, strips)
    )
    assert off < 0.7 * without
