"""Tests of the statistics of a frame's noise and atoms."""

import numpy as np
import pytest
from scipy import ndimage

from stemkit._frame_statistics import contrast_skewness, noise_level, spectral_statistics


def atoms(sigma, n=300, side=192, height=40.0, seed=0):
    """Return expected counts of Gaussian atoms at random places."""
    rng = np.random.default_rng(seed)
    frame = np.zeros((side, side))
    y, x = np.indices(frame.shape)
    for row, column in rng.uniform(0, side, (n, 2)):
        near = np.abs(y - row) + np.abs(x - column) < 8 * sigma
        frame[near] += height * np.exp(
            -((y[near] - row) ** 2 + (x[near] - column) ** 2) / (2 * sigma**2)
        )
    return frame


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5, 4.0, 6.0])
def test_the_width_of_atoms_is_measured_in_any_unit(sigma, unit):
    noisy = np.random.default_rng(0).poisson(100 + atoms(sigma, n=int(1500 / sigma**2)))
    found = spectral_statistics(unit * noisy + 3 * unit)
    assert found.atom_sigma == pytest.approx(sigma, rel=0.2)
    assert found.whiteness == pytest.approx(1, abs=4 * found.whiteness_error)


def test_vacuum_has_white_noise_and_no_atoms():
    for seed in range(20):
        frame = np.random.default_rng(seed).poisson(50, (96, 128))
        found = spectral_statistics(frame)
        assert np.isnan(found.atom_sigma)
        assert abs(found.whiteness - 1) < 4.5 * found.whiteness_error
        assert abs(contrast_skewness(frame, 1.5)) < 0.3


def test_the_error_of_the_whiteness_is_its_spread():
    found = [
        spectral_statistics(np.random.default_rng(seed).normal(size=(96, 96)))
        for seed in range(200)
    ]
    spread = np.std([f.whiteness for f in found])
    assert spread == pytest.approx(np.mean([f.whiteness_error for f in found]), rel=0.25)


@pytest.mark.parametrize("blur", [0.5, 0.7, 1.0])
def test_noise_of_a_blurring_camera_is_not_white(blur):
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(192, 192)), blur)
    impulse = np.zeros((192, 192))
    impulse[96, 96] = 1
    power = np.abs(np.fft.fft2(ndimage.gaussian_filter(impulse, blur))) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(192), np.fft.fftfreq(192)))
    high, medium = power[frequency > 0.58], power[(frequency > 0.36) & (frequency < 0.44)]
    expected = high.mean() / medium.mean()
    assert spectral_statistics(noise).whiteness == pytest.approx(expected, rel=0.2)


def test_skewness_tells_bright_atoms_from_dark_ones():
    frame = np.random.default_rng(0).poisson(100 + atoms(2.0))
    bright = contrast_skewness(frame, 2.0)
    assert bright > 0.3
    assert contrast_skewness(500.0 - frame, 2.0) == pytest.approx(-bright)
    assert contrast_skewness(1e-6 * frame + 1, 2.0) == pytest.approx(bright, rel=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (8, 40), (15, 15)])
def test_small_frames_show_nothing(shape):
    assert np.isnan(spectral_statistics(np.random.default_rng(0).normal(size=shape))).all()


@pytest.mark.parametrize("value", [0.0, 7.0, 1e30])
def test_constant_frames_show_nothing(value):
    frame = np.full((64, 64), value)
    assert np.isnan(spectral_statistics(frame)).all()
    assert contrast_skewness(frame, 1.5) == 0
    assert noise_level(frame) == pytest.approx(0, abs=1e-10 * max(value, 1))
