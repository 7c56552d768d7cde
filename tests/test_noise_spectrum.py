"""Tests of whether noise is independent from pixel to pixel."""

import numpy as np
import pytest
from scipy import ndimage

from stemkit._noise_spectrum import noise_of, noise_spectrum, shares_noise
from stemkit._spectrum import spectrum


def atoms(sigma, dose):
    rng = np.random.default_rng(0)
    field = np.zeros((192, 192))
    field[tuple(rng.integers(0, 192, (2, 500)))] = 2 * np.pi * sigma**2
    return rng.poisson(dose * (ndimage.gaussian_filter(field, sigma) + 0.3)).astype("f4")


@pytest.mark.parametrize("dose", [3, 60, 1000])
@pytest.mark.parametrize("sigma", [0.8, 1.2, 2.0, 5.0])
def test_noise_of_counts_is_independent(sigma, dose):
    found = noise_spectrum(spectrum(atoms(sigma, dose)))
    assert found.independent
    assert not found.shared


@pytest.mark.parametrize("dose", [3, 60, 1000])
@pytest.mark.parametrize("sigma", [2.0, 5.0])
def test_blurred_and_interpolated_noise_is_shared(sigma, dose):
    frame = atoms(sigma, dose)
    for other in (ndimage.gaussian_filter(frame, 0.6), ndimage.shift(frame, (0.5, 0.5), order=1)):
        found = noise_spectrum(spectrum(other))
        assert found.shared
        assert not found.independent


def test_whiteness_is_the_ratio_of_the_powers():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(256, 256)).astype("f4")
    found = noise_spectrum(spectrum(white))
    assert found.whiteness == pytest.approx(1, abs=4 * found.error)
    assert found.error < 0.1


@pytest.mark.parametrize("sigma", [1.5, 3.0])
def test_structure_without_noise_has_neither(sigma):
    field = np.zeros((192, 192))
    field[tuple(np.random.default_rng(0).integers(0, 192, (2, 300)))] = 1
    found = noise_spectrum(spectrum(ndimage.gaussian_filter(field, sigma).astype("f4")))
    assert not found.independent
    assert not found.shared


@pytest.mark.parametrize("unit", [1e-30, 1e-9, 1.0, 1e6])
@pytest.mark.parametrize("sigma, dose", [(0.8, 60), (0.8, 1000), (1.2, 1000), (2.0, 60)])
def test_sharp_atoms_are_told_from_noise_that_neighbours_share(sigma, dose, unit):
    frame = atoms(sigma, dose).astype(float)
    assert not shares_noise(unit * frame + 3 * unit)
    for blur in (0.5, 0.7, 1.0):
        blurred = ndimage.gaussian_filter(frame, blur)
        # Of sharp atoms at the highest dose, what is left may be the image of others.
        if sigma > 1 or blur > 0.5:
            assert shares_noise(unit * blurred + 3 * unit)
    assert shares_noise(unit * ndimage.shift(frame, (0.5, 0.5), order=1, mode="reflect"))


@pytest.mark.parametrize("blur", [0.5, 0.7, 1.0])
def test_blurred_noise_without_atoms_is_shared(blur):
    for seed in range(5):
        white = np.random.default_rng(seed).normal(size=(192, 192))
        assert not shares_noise(white)
        assert shares_noise(ndimage.gaussian_filter(white, blur))


@pytest.mark.parametrize("shape", [(1, 1), (20, 200), (31, 31)])
def test_small_and_constant_frames_tell_nothing(shape):
    rng = np.random.default_rng(0)
    for frame in (ndimage.gaussian_filter(rng.normal(size=shape), 1), np.full((64, 64), 1e30)):
        assert np.isnan(noise_of(frame).whiteness)
        assert not shares_noise(frame)


def test_smooth_frames_with_rounding_errors_share_no_noise():
    y, x = np.indices((96, 96))
    assert not shares_noise(np.exp(-((y - 48) ** 2 + (x - 48) ** 2) / 200))
