import numpy as np
import pytest
from scipy import stats

from stemkit.noise.functional import slow_background
from stemkit.noise.functional._background import _spread

# Without fixed seeds, a test would fail once in a million runs.
LEVEL = 1e-6
SIGMAS = stats.norm.isf(LEVEL / 2)


def gaussian_field(run, n, shape, length, contrast=0.4, level=2.0):
    """The Gaussian field of variance 1 whose exponential is the background."""
    spread = np.sqrt(np.log1p(contrast**2))
    nothing = np.zeros((n, *shape), dtype="float32")
    background = run(slow_background, nothing, level, contrast, length, reference=1.0)
    assert (background > 0).all()
    return (np.log(background / level) + spread**2 / 2) / spread


PLACES = [(0, 0), (0, 3), (9, 0), (10, 11), (16, 23), (0, 23)]


@pytest.mark.parametrize("length", [1.0, 4.0, 30.0])
def test_its_logarithm_is_normal_with_a_gaussian_correlation(run, length):
    n = 4000
    field = gaussian_field(run, n, (17, 24), length)
    values = np.stack([field[:, y, x] for y, x in PLACES])
    distance = np.hypot(*(np.subtract.outer(axis, axis) for axis in np.transpose(PLACES)))
    expected = np.exp(-(distance**2) / (2 * length**2))
    for row in values:
        assert stats.kstest(row, "norm").pvalue > LEVEL / len(PLACES)
    covariance = values @ values.T / n
    stderr = np.sqrt((1 + expected**2) / n)
    sigmas = stats.norm.isf(LEVEL / 2 / covariance.size)
    assert (np.abs(covariance - expected) < sigmas * stderr + 1e-5).all()


@pytest.mark.parametrize("size, length", [(1, 3.0), (40, 1.0), (50, 7.3), (30, 500.0)])
def test_correlation_is_gaussian_up_to_the_border(size, length):
    weights = _spread(size, length).astype(float)
    distance = np.subtract.outer(np.arange(size), np.arange(size))
    expected = np.exp(-(distance**2) / (2 * length**2))
    np.testing.assert_allclose(weights @ weights.T, expected, atol=2e-6)


def test_power_spectrum_is_gaussian(run):
    """A window suppresses the ends of the field.

    With it, power has an exponential distribution only from 6 cycles per frame.
    """
    n, width, length = 2000, 128, 4.0
    field = gaussian_field(run, n, (1, width), length)[:, 0]
    window = stats.norm.pdf(np.arange(width), (width - 1) / 2, width / 10)
    lag = np.subtract.outer(np.arange(width), np.arange(width))
    covariance = np.exp(-(lag**2) / (2 * length**2)) * np.outer(window, window)
    fourier = np.exp(-2j * np.pi * np.outer(np.arange(6, 15), np.arange(width)) / width)
    expected = np.einsum("fi,ij,fj->f", fourier, covariance, fourier.conj()).real
    power = np.abs((field * window) @ fourier.T) ** 2 / expected
    for column in power.T:  # frames are independent; with a window, frequencies are not
        assert stats.kstest(column, "expon").pvalue > LEVEL / power.shape[1]


@pytest.mark.parametrize("level, contrast", [(0.3, 0.8), (1.0, 1.0), (2.0, 0.1)])
def test_mean_and_deviation_are_those_asked_for(run, level, contrast):
    rng = np.random.default_rng(0)
    clean = rng.gamma(2, size=(30_000, 2, 2)).astype("float32") * 50
    background = run(slow_background, clean, level, contrast, 2.0) - clean
    relative = (background / clean.mean(axis=(1, 2), keepdims=True))[:, 0, 1] / level
    assert abs(relative.mean() - 1) < SIGMAS * contrast / np.sqrt(relative.size)
    squares = (relative - 1) ** 2
    assert abs(squares.mean() - contrast**2) < SIGMAS * squares.std() / np.sqrt(relative.size)


def test_frames_of_a_batch_have_backgrounds_of_their_own(run):
    field = gaussian_field(run, 3000, (2, 2), 5.0)[:, 0, 0]
    assert abs((field[1:] * field[:-1]).mean()) < SIGMAS / np.sqrt(len(field) - 1)


def test_limits(run):
    frames = np.random.default_rng(0).random((3, 6, 7), dtype="float32")
    np.testing.assert_array_equal(run(slow_background, frames, 0), frames)
    flat = run(slow_background, frames, 0.5, 0.0, reference=4.0)
    np.testing.assert_allclose(flat, frames + 2, rtol=1e-6)
    slow = run(slow_background, np.zeros_like(frames), 1.0, 0.3, 1e6, reference=1.0)
    np.testing.assert_allclose(slow - slow.mean(axis=(1, 2), keepdims=True), 0, atol=2e-5)


@pytest.mark.parametrize(
    "arguments, what",
    [
        ((-1.0,), "^level must be"),
        ((0.1, -0.3), "^contrast must be"),
        ((0.1, 0.3, 0.0), r"^length must be a finite number of px in \[1,"),
        ((0.1, 0.3, np.inf), r"^length must be a finite number of px in \[1,"),
    ],
)
def test_wrong_parameters_are_named(run, arguments, what):
    with pytest.raises(ValueError, match=what):
        run(slow_background, np.ones((2, 2), dtype="float32"), *arguments)
