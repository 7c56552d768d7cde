import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from stemkit.datasets import make_crystal_images
from stemkit.metrics import fourier_ring_correlation, fsc, spectrum_cosine
from stemkit.noise import CompositeDegradationNoise


def stacks(n=3, shape=(18, 23), seed=0):
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 255, (n, *shape))
    return true, true + rng.normal(0, 80, true.shape)


def transform(frame):
    """The Fourier transform by its definition."""
    height, width = frame.shape
    along_y = np.exp(-2j * np.pi * np.outer(np.arange(height), np.arange(height)) / height)
    along_x = np.exp(-2j * np.pi * np.outer(np.arange(width), np.arange(width)) / width)
    return along_y @ frame @ along_x


@pytest.mark.parametrize("remove_mean", [True, False])
def test_cosine_is_that_of_the_magnitudes(remove_mean):
    true, pred = stacks()
    values = spectrum_cosine(true, pred, remove_mean=remove_mean, reduction="none")
    for value, a, b in zip(values, true, pred, strict=True):
        first, second = np.abs(transform(a)), np.abs(transform(b))
        if remove_mean:
            first[0, 0] = second[0, 0] = 0
        top = (first * second).sum()
        assert value == pytest.approx(top / np.sqrt((first**2).sum() * (second**2).sum()), abs=1e-6)
    assert spectrum_cosine(true, pred, remove_mean=remove_mean) == pytest.approx(values.mean())


def test_alias():
    assert fsc is spectrum_cosine


@given(st.floats(0.01, 100), st.floats(-500, 500), st.integers(0, 17), st.integers(0, 22))
def test_cosine_ignores_gain_offset_and_position(gain, offset, dy, dx):
    true, _ = stacks(1)
    moved = np.roll(gain * true + offset, (dy, dx), axis=(1, 2))
    assert spectrum_cosine(true, moved) == pytest.approx(1, abs=1e-4)
    true, pred = stacks(1)
    assert 0 <= spectrum_cosine(true, pred) <= 1


def test_constant_frames_have_no_similarity():
    true, _ = stacks(1)
    flat = np.full_like(true, 93.3)
    assert spectrum_cosine(true, flat) == 0
    assert spectrum_cosine(flat, true) == 0
    assert spectrum_cosine(flat, flat) == 1
    # With the mean included the score would be high, so it is removed by default.
    assert spectrum_cosine(true, flat, remove_mean=False) > 0.8


def ring_by_ring(a, b):
    """Fourier ring correlation, computed with loops."""
    first, second = transform(a), transform(b)
    height, width = a.shape
    shortest = min(a.shape)
    sums = {}
    for i in range(height):
        for j in range(width):
            fy = (i if i <= (height - 1) // 2 else i - height) / height
            fx = (j if j <= (width - 1) // 2 else j - width) / width
            radius = np.hypot(fy, fx)
            ring = round(radius * shortest)
            if 0 < ring <= shortest // 2:
                terms = sums.setdefault(ring, [0, 0, 0, 0, 0])
                terms[0] += (first[i, j] * np.conj(second[i, j])).real
                terms[1] += abs(first[i, j]) ** 2
                terms[2] += abs(second[i, j]) ** 2
                terms[3] += radius
                terms[4] += 1
    rows = [sums[ring] for ring in sorted(sums)]
    return np.array([[t / np.sqrt(p * q), radius / n, n] for t, p, q, radius, n in rows])


@pytest.mark.parametrize("shape", [(16, 16), (17, 17), (18, 25)])
def test_ring_correlation_equals_a_loop_over_rings(shape):
    true, pred = stacks(2, shape)
    table = fourier_ring_correlation(true, pred)
    for index in range(2):
        expected = ring_by_ring(true[index], pred[index])
        mine = table[table.frame == index]
        np.testing.assert_allclose(mine.correlation, expected[:, 0], atol=1e-6)
        np.testing.assert_allclose(mine.frequency, expected[:, 1], rtol=1e-9)
        np.testing.assert_array_equal(mine.n_pixels, expected[:, 2])
    assert (np.diff(table[table.frame == 0].frequency) > 0).all()
    assert table.frequency.max() < 0.53
    again = spectrum_cosine(true, pred, radial=True)
    assert again.equals(table)


def test_thresholds_of_resolution():
    true, pred = stacks(1, (64, 64))
    table = fourier_ring_correlation(true, pred)
    n = table.n_pixels / 2
    # van Heel and Schatz, with a signal-to-noise ratio of 0.4142 / 2 in each half.
    snr = (np.sqrt(2) - 1) / 2
    expected = (snr + 2 * np.sqrt(snr / n) + 1 / np.sqrt(n)) / (snr + 2 * np.sqrt(snr / n) + 1)
    np.testing.assert_allclose(table.half_bit, expected, atol=1e-4)
    assert (table.one_seventh == 1 / 7).all()


def test_independent_noise_stays_below_the_half_bit_line():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 20, 64, 64))
    table = fourier_ring_correlation(one, other)
    assert (table.correlation > table.half_bit).mean() < 0.01
    # Half of the pixels of a ring are independent, and only their real parts count.
    scores = table.correlation * np.sqrt(table.n_pixels)
    assert scores.std() == pytest.approx(1, abs=0.15)


def test_blur_cuts_high_frequencies_and_a_shift_turns_phases():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(1, 64, 64))
    noisy = ndimage.gaussian_filter(true, (0, 1.5, 1.5), mode="wrap") + 0.1 * rng.normal(
        size=true.shape
    )
    table = fourier_ring_correlation(true, noisy)
    low, high = table.frequency < 0.1, table.frequency > 0.35
    assert table.correlation[low].min() > 0.9
    assert abs(table.correlation[high]).max() < 0.3
    # The average of cos(2 pi f s) over a ring is the Bessel function J0.
    from scipy.special import j0

    moved = fourier_ring_correlation(true, np.roll(true, 2, axis=2))
    np.testing.assert_allclose(moved.correlation, j0(2 * np.pi * 2 * moved.frequency), atol=0.35)


def test_frequencies_are_in_the_unit_of_the_pixel():
    true, pred = stacks(1)
    plain = fourier_ring_correlation(true, pred)
    scaled = fourier_ring_correlation(true, pred, pixel_size=0.02)
    np.testing.assert_allclose(scaled.frequency, plain.frequency / 0.02)
    empty = fourier_ring_correlation(true, np.zeros_like(true))
    assert (empty.correlation == 0).all()


def test_noise_lowers_both():
    clean = make_crystal_images("InN", shape=(96, 96), random_state=0).frames
    values = []
    for level in (1, 3, 5):
        noisy = CompositeDegradationNoise(level=level, random_state=0).fit_transform(clean)
        rings = fourier_ring_correlation(clean, noisy)
        values.append((spectrum_cosine(clean, noisy), rings.correlation.mean()))
    assert (np.diff(values, axis=0) < 0).all()


@pytest.mark.parametrize("metric", [spectrum_cosine, fourier_ring_correlation])
@pytest.mark.parametrize(
    "change, message",
    [
        ({"y_pred": np.zeros((2, 18, 23))}, r"y_pred has shape \(2, 18, 23\)"),
        ({"y_true": np.zeros((18, 23))}, r"y_true\[np.newaxis\]"),
        ({"y_pred": np.full((3, 18, 23), np.inf)}, "y_pred contains inf"),
    ],
)
def test_bad_input_is_named(metric, change, message):
    true, pred = stacks()
    with pytest.raises(ValueError, match=message):
        metric(**{"y_true": true, "y_pred": pred} | change)


def test_pixel_size_must_be_positive():
    with pytest.raises(ValueError, match=r"^pixel_size must be a finite number in"):
        fourier_ring_correlation(*stacks(), pixel_size=0)
