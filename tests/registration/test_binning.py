import numpy as np
import pytest
from scipy import ndimage

from stemkit.registration._binning import (
    bin_frame,
    bin_overlap,
    choose_binning,
    unbin_map,
    wide_gaussian_filter,
)


def test_a_wide_gaussian_filter_equals_that_of_scipy():
    frame = np.random.default_rng(0).normal(size=(1100, 733)).astype(np.float32)
    frame += np.linspace(0, 5, 733, dtype=np.float32)
    expected = ndimage.gaussian_filter(frame, 60, mode="reflect")
    np.testing.assert_allclose(wide_gaussian_filter(frame, 60), expected, atol=0.02)


@pytest.mark.parametrize("binning", [1, 2, 3])
def test_binned_maps_are_interpolated_between_the_centres_of_the_blocks(binning):
    y, x = np.indices((37, 44), dtype="float32")
    ramp = 0.5 * y - 0.25 * x
    restored = unbin_map(bin_frame(ramp, binning), binning, ramp.shape)
    inside = (slice(binning, -2 * binning), slice(binning, -2 * binning))
    np.testing.assert_allclose(restored[inside], ramp[inside], atol=1e-5)


def test_a_block_overlaps_only_if_all_of_its_pixels_do():
    overlap = np.ones((4, 4), dtype=bool)
    overlap[0, 0] = False
    np.testing.assert_array_equal(bin_overlap(overlap, 2), [[0, 1], [1, 1]])


def test_frames_without_a_lattice_are_not_binned():
    assert choose_binning(np.ones((64, 64), "float32")) == 1


def waves(*powers, period=40.0, shape=(480, 640)):
    """Return lattice planes with harmonics of these amplitudes."""
    x = np.arange(shape[1]) * np.ones((shape[0], 1))
    waves = [a * np.sin(2 * np.pi * n * x / period) for n, a in enumerate(powers, start=1)]
    return (sum(waves) + 3).astype(np.float32)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("amplitudes", [(1.0,), (0.3, 1.0)])
def test_a_lattice_is_binned_to_a_spacing_of_12_px_or_a_little_more(amplitudes, turned):
    frame = waves(*amplitudes)
    assert choose_binning(np.ascontiguousarray(frame.T) if turned else frame) == 3
    assert choose_binning(waves(1.0, period=20.0)) == 1


def test_noise_is_not_taken_for_a_lattice():
    noise = np.random.default_rng(0).normal(size=(300, 400)).astype(np.float32)
    assert choose_binning(noise) == 1


def test_a_weak_lattice_is_found_in_noise():
    # Its spot has about 300 times the power of the noise.
    noise = np.random.default_rng(0).normal(size=(480, 640)).astype(np.float32)
    assert choose_binning(waves(0.08) + noise) == 3


@pytest.mark.parametrize("n_periods, binning", [(6, 1), (8, 5), (10, 4), (20, 2), (23, 1)])
def test_structure_of_fewer_than_eight_periods_is_no_lattice(n_periods, binning):
    rng = np.random.default_rng(1)
    frame = waves(1.0, period=480 / n_periods) + rng.normal(0, 1, (480, 640)).astype("f4")
    assert choose_binning(frame) == binning


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (15, 400), (40, 31), (90, 640)])
def test_small_frames_are_not_binned(shape):
    period = min(40.0, shape[1] / 8)
    assert choose_binning(waves(1.0, period=period, shape=shape)) == 1


def test_a_constant_frame_of_any_value_is_not_binned():
    for value in (0.1, 3.3, 1e6):
        assert choose_binning(np.full((480, 640), value, "float32")) == 1


@pytest.mark.parametrize("binning", [2, 3, 4])
@pytest.mark.parametrize("shape", [(17, 20), (20, 17)])
def test_interpolation_of_a_binned_map_equals_that_of_scipy(shape, binning):
    sides = [n // binning for n in shape]
    values = np.random.default_rng(0).normal(size=sides).astype(np.float32)
    places = (np.indices(shape) + 0.5) / binning - 0.5
    expected = ndimage.map_coordinates(values, places, order=1, mode="nearest")
    found = unbin_map(values, binning, shape)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_blocks_are_averaged_in_single_precision(dtype):
    frame = np.random.default_rng(0).integers(0, 60_000, (11, 13)).astype(dtype)
    expected = [[frame[i : i + 3, j : j + 3].mean() for j in (0, 3, 6, 9)] for i in (0, 3, 6)]
    found = bin_frame(frame, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
