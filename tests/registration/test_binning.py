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
