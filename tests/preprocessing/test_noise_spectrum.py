"""Tests of whether noise is independent from pixel to pixel."""

import numpy as np
import pytest
from scipy import ndimage

from stemkit.preprocessing._noise_spectrum import noise_spectrum
from stemkit.preprocessing._spectra import spectrum


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
