import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stemkit.noise.functional import (
    poisson_gaussian_noise,
    stabilize_anscombe,
    unstabilize_anscombe,
)

# Without fixed seeds, a test would fail once in a million runs.
LEVEL = 1e-6
SIGMAS = stats.norm.isf(LEVEL / 2)

LIBRARIES = {
    "numpy": (np.asarray, lambda: np.random.default_rng(5)),
    "torch": (torch.from_numpy, lambda: torch.Generator().manual_seed(5)),
}


@pytest.fixture(params=LIBRARIES.values(), ids=LIBRARIES)
def library(request):
    return request.param


def draw(signal, function, library, *arguments, n=40_000):
    convert, generator = library
    frames = convert(np.full((4, n // 4), signal))
    noisy = function(frames, *arguments, generator=generator())
    assert type(noisy) is type(frames)
    assert "float32" in str(noisy.dtype)
    return np.asarray(noisy, dtype=float).ravel()


def assert_moments(values, mean, variance, fourth):
    """Check mean and variance within their standard errors, given the fourth central moment."""
    n = values.size
    assert abs(values.mean() - mean) < SIGMAS * np.sqrt(variance / n)
    assert abs(values.var() - variance) < SIGMAS * np.sqrt((fourth - variance**2) / n)


def test_signal_below_the_pedestal_is_an_error_with_a_remedy(library):
    with pytest.raises(ValueError, match=r"5 counts below the pedestal.*clip the frames there"):
        draw(10.0, poisson_gaussian_noise, library, 1.0, 1.0, 15.0)


@pytest.mark.parametrize("gain", [0, -1, np.nan])
def test_wrong_gains_are_named(library, gain):
    with pytest.raises(ValueError, match=r"gain must be a finite number of counts per electron"):
        draw(10.0, poisson_gaussian_noise, library, gain, 1.0)


@pytest.mark.parametrize(
    "signal, gain, read_sigma, pedestal",
    [(60.0, 2.0, 3.0, 50.0), (5.0, 0.5, 0.0, 0.0), (100.0, 20.0, 1.0, 0.0), (0.0, 3.0, 2.0, 0.0)],
)
def test_camera_has_a_variance_linear_in_the_signal(library, signal, gain, read_sigma, pedestal):
    noisy = draw(signal, poisson_gaussian_noise, library, gain, read_sigma, pedestal)
    variance = gain * (signal - pedestal) + read_sigma**2
    # Fourth cumulants add: gain**4 * electrons, and none of the normal readout.
    fourth = gain**3 * (signal - pedestal) + 3 * variance**2
    assert_moments(noisy, signal, variance, fourth)
    third = stats.moment(noisy, 3)
    skewness = gain**2 * (signal - pedestal) / variance**1.5
    assert abs(third / variance**1.5 - skewness) < 0.1 + 0.1 * skewness


def test_without_electrons_the_readout_is_normal(library):
    noisy = draw(50.0, poisson_gaussian_noise, library, 2.0, 3.0, 50.0)
    assert stats.kstest((noisy - 50) / 3, "norm").pvalue > LEVEL


def test_root_makes_the_deviation_1(library):
    convert, generator = library
    clean = np.array([[30.0], [300.0], [3000.0]]).repeat(50_000, axis=1)
    noisy = poisson_gaussian_noise(convert(clean), 2.0, 3.0, generator=generator())
    stable = np.asarray(stabilize_anscombe(noisy, 2.0, 3.0), dtype=float)
    np.testing.assert_allclose(stable.std(axis=1), 1, atol=0.02)
    # The inverse of averages is too low by gain / 4.
    means = stable.mean(axis=1)[:, np.newaxis]
    back = unstabilize_anscombe(means, 2.0, 3.0)[:, 0]
    stderr = np.sqrt((2 * clean[:, 0] + 9) / clean.shape[1])
    assert (np.abs(back - (clean[:, 0] - 0.5)) < SIGMAS * stderr + 0.02).all()


@given(
    signal=st.floats(0, 1e5, width=32),
    gain=st.floats(0.01, 100),
    read_sigma=st.floats(0, 50),
    pedestal=st.floats(0, 200),
)
def test_root_can_be_undone(signal, gain, read_sigma, pedestal):
    frame = np.full((2, 2), signal, dtype="float32") + np.float32(pedestal)
    for convert, _ in LIBRARIES.values():
        stable = stabilize_anscombe(convert(frame), gain, read_sigma, pedestal)
        again = np.asarray(unstabilize_anscombe(stable, gain, read_sigma, pedestal))
        scale = frame.max() + gain + read_sigma**2 / gain
        assert np.abs(again - frame).max() < 1e-6 * scale


def test_root_is_0_below_its_domain():
    assert stabilize_anscombe(np.full((1, 2), -1e3), 2.0, 3.0).tolist() == [[0.0, 0.0]]
