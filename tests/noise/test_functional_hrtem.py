import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stemkit.noise.functional import (
    column_noise,
    hrtem_noise,
    pointwise_noise,
    stabilize_log,
    unstabilize_log,
)

# Without fixed seeds, a test would fail once in a million runs.
LEVEL = 1e-6
SIGMAS = stats.norm.isf(LEVEL / 2)
GAIN, OFFSET, COLUMN = 0.03583, 1.379, 0.6641

LIBRARIES = {
    "numpy": (np.asarray, lambda: np.random.default_rng(5)),
    "torch": (torch.from_numpy, lambda: torch.Generator().manual_seed(5)),
}


@pytest.fixture(params=LIBRARIES.values(), ids=LIBRARIES)
def library(request):
    return request.param


def noise_on(clean, function, library, **parameters):
    convert, generator = library
    frames = convert(clean)
    before = frames.copy() if isinstance(frames, np.ndarray) else frames.clone()
    noisy = function(frames, generator=generator(), **parameters)
    assert type(noisy) is type(frames)
    assert "float32" in str(noisy.dtype)
    assert noisy.shape == frames.shape
    np.testing.assert_array_equal(frames, before)
    return np.asarray(noisy, dtype=float) - clean


def assert_normal(values, sigma):
    """Test the distribution (Kolmogorov-Smirnov) and the variance (chi-square)."""
    scaled = np.ravel(values / sigma)
    assert stats.kstest(scaled, "norm").pvalue > LEVEL
    share = stats.chi2.cdf(np.sum(scaled**2), scaled.size)
    assert LEVEL / 2 < share < 1 - LEVEL / 2


def assert_mean(values, expected, stderr):
    assert abs(np.mean(values) - expected) < SIGMAS * stderr


def test_column_noise_is_one_normal_number_a_column(library):
    noise = noise_on(np.zeros((60, 8, 200)), column_noise, library, sigma=0.7)
    np.testing.assert_array_equal(noise, np.broadcast_to(noise[:, :1], noise.shape))
    assert_normal(noise[:, 0], 0.7)


def test_pointwise_noise_has_the_signals_deviation(library):
    clean = np.linspace(0, 250, 40_000).reshape(2, 100, 200)
    noise = noise_on(clean, pointwise_noise, library, gain=GAIN, offset=OFFSET)
    assert_normal(noise, GAIN * clean + OFFSET)


def test_pointwise_noise_is_white(library):
    noise = noise_on(np.zeros((128, 128)), pointwise_noise, library, gain=0.1, offset=1.0)
    power = np.abs(np.fft.rfft2(noise)[1:64, 1:64]) ** 2 / noise.size
    # For independent pixels, the power at each frequency is exponential with mean 1.
    assert stats.kstest(power.ravel(), "expon").pvalue > LEVEL


def test_hrtem_noise_has_both_variances_and_the_columns_correlation(library):
    signal, (n, height, width) = 75.0, (200, 32, 64)
    noise = noise_on(np.full((n, height, width), signal), hrtem_noise, library)
    point, column = (GAIN * signal + OFFSET) ** 2, COLUMN**2
    assert_mean(noise, 0, np.sqrt((column + point / height) / (n * width)))
    means = noise.mean(axis=1)
    assert_normal(means, np.sqrt(column + point / height))
    residual = noise - means[:, np.newaxis]
    share = stats.chi2.cdf((residual**2).sum() / point, n * width * (height - 1))
    assert LEVEL / 2 < share < 1 - LEVEL / 2
    # Neighbours in a column share its noise, neighbours in a row do not.
    total = point + column
    down, across = noise[:, 1:] * noise[:, :-1], noise[..., 1:] * noise[..., :-1]
    assert_mean(down, column, total / np.sqrt(down.size) + column * np.sqrt(2 / (n * width)))
    assert_mean(across, 0, total / np.sqrt(n * width))
    frames = noise.reshape(n, -1)
    assert_mean(frames[1:] * frames[:-1], 0, total / np.sqrt(n * width))


def test_power_spectrum_of_hrtem_noise_is_flat_but_for_the_columns_line(library):
    n, height, width = 300, 16, 16
    noise = noise_on(np.full((n, height, width), 75.0), hrtem_noise, library)
    power = (np.abs(np.fft.fft2(noise)) ** 2 / (height * width)).mean(axis=0)
    expected = np.full((height, width), (GAIN * 75 + OFFSET) ** 2)
    expected[0] += height * COLUMN**2  # components that are constant along y
    # A mean of n exponential numbers, or of n chi-squares where the transform is real.
    real = np.zeros((height, width), dtype=bool)
    real[:: height // 2, :: width // 2] = True
    shape = np.where(real, n / 2, n)
    law = stats.gamma(shape, scale=expected / shape)
    level = LEVEL / power.size
    assert (law.cdf(power) > level / 2).all()
    assert (law.sf(power) > level / 2).all()


def test_pointwise_noise_follows_the_clean_signal_not_the_columns():
    clean = np.zeros((400, 50, 50))
    noise = noise_on(
        clean, hrtem_noise, LIBRARIES["numpy"], gain=1.0, offset=20.0, column_sigma=9.0
    )
    residual = noise - noise.mean(axis=1, keepdims=True)
    share = stats.chi2.cdf((residual**2).sum() / 20.0**2, 400 * 50 * 49)
    # If it included column noise, the variance would be (20**2 + 9**2) / 20**2 times as large.
    assert LEVEL / 2 < share < 1 - LEVEL / 2


def test_frames_of_a_batch_have_noise_of_their_own(library):
    noise = noise_on(np.zeros((2, 3, 40, 40)), hrtem_noise, library).reshape(6, -1)
    correlation = np.corrcoef(noise) - np.eye(6)
    assert np.abs(correlation).max() < SIGMAS / np.sqrt(40)


def test_without_noise_frames_stay_as_they_are(library):
    clean = np.linspace(-3, 9, 60).reshape(3, 4, 5).astype("float32")
    nothing = noise_on(clean, hrtem_noise, library, gain=0, offset=0, column_sigma=0)
    np.testing.assert_array_equal(nothing, 0)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16"])
def test_dtypes_of_detectors_are_taken(library, dtype):
    convert, generator = library
    clean = np.full((2, 4, 4), 100)
    np.testing.assert_array_equal(
        hrtem_noise(convert(clean.astype(dtype)), generator=generator()),
        hrtem_noise(convert(clean.astype("float32")), generator=generator()),
    )


@pytest.mark.parametrize(
    "parameters, what",
    [
        ({"gain": -0.1}, "gain must be"),
        ({"offset": np.nan}, "offset must be"),
        ({"column_sigma": -1}, "column_sigma must be"),
        ({"gain": np.inf}, "gain must be"),
    ],
)
def test_wrong_parameters_are_named(library, parameters, what):
    convert, generator = library
    with pytest.raises(ValueError, match=what):
        hrtem_noise(convert(np.ones((2, 2))), generator=generator(), **parameters)


def test_signal_of_negative_standard_deviation_is_an_error(library):
    convert, generator = library
    with pytest.raises(ValueError, match=r"^frames reach down to -40 counts.*clip them at 0"):
        hrtem_noise(convert(np.full((2, 2), -40.0)), generator=generator())


def test_logarithm_makes_the_deviation_1_at_every_signal(library):
    convert, generator = library
    clean = np.array([[5.0], [50.0], [500.0]]).repeat(100_000, axis=1)
    noisy = pointwise_noise(convert(clean), generator=generator())
    stable = np.asarray(stabilize_log(noisy, GAIN, OFFSET), dtype=float)
    # 1 + 5 / 4 gain**2, within the statistical error of 100,000 values.
    expected = 1 + 1.25 * GAIN**2
    tolerance = SIGMAS / np.sqrt(2 * clean.shape[1])
    np.testing.assert_allclose(stable.std(axis=1), expected, atol=tolerance)
    of_the_mean = np.log(clean[:, 0] + OFFSET / GAIN) / GAIN
    np.testing.assert_allclose(stable.mean(axis=1), of_the_mean - GAIN / 2, atol=tolerance * 1.5)


@given(
    signal=st.floats(0, 1e5, width=32),
    gain=st.floats(1e-3, 0.5),
    offset=st.floats(0.01, 20),
)
def test_logarithm_can_be_undone(signal, gain, offset):
    frame = np.full((2, 2), signal + 0.5, dtype="float32")
    for convert, _ in LIBRARIES.values():
        stable = stabilize_log(convert(frame), gain, offset)
        again = unstabilize_log(stable, gain, offset)
        assert type(again) is type(convert(frame))
        # float32 rounds the logarithm at 6e-8 of its size.
        scale = frame + offset / gain
        error = np.abs(np.asarray(again) - frame) / scale
        assert error.max() < 1e-6 * max(1.0, float(np.abs(np.log(scale)).max()))


def test_pixels_without_a_logarithm_are_named(library):
    convert, _ = library
    with pytest.raises(ValueError, match=r"down to -50 counts.*above -offset / gain = -38.*clip"):
        stabilize_log(convert(np.array([[3.0, -50.0]])), GAIN, OFFSET)
    for gain in (0, -1, np.nan):
        with pytest.raises(ValueError, match=r"^gain must be a finite number in \(0,"):
            stabilize_log(convert(np.ones((2, 2))), gain, OFFSET)


def test_inverse_beyond_float32_is_an_error(library):
    convert, _ = library
    with pytest.raises(ValueError, match=r"^frames from 1 to 1e\+04 give values beyond float32"):
        unstabilize_log(convert(np.array([[1.0, 1e4]])), GAIN, OFFSET)
