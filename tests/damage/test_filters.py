import numpy as np
import pytest
from scipy import ndimage

from stemkit.damage._filters import (
    average_neighbouring_rows,
    estimate_noise_variance,
    gaussian_filter_dct,
    high_pass,
    shift_columns,
)
from stemkit.datasets import make_scene
from stemkit.degradation import damage_pattern, degrade, record

SHAPE = (160, 176)


def test_noise_variance_is_that_of_shot_noise():
    scene = make_scene(SHAPE, content="perfect", spacing=(9, 14), random_state=0)
    damage = damage_pattern("gaussian", SHAPE, random_state=0)
    rng = np.random.default_rng(2)
    for strength in (0.0, 0.9):
        clean, _ = degrade(scene, SHAPE, damage=damage, strength=strength)
        frame = record(clean, dose=10, background=0.1, random_state=rng)
        expected = (clean + 0.1).mean() / 10
        assert estimate_noise_variance(frame, high_pass(frame)).mean() == pytest.approx(
            expected, rel=0.1
        )


def test_a_template_does_not_contain_its_own_row():
    frame = np.random.default_rng(0).random((20, 20)).astype("float32")
    other = frame.copy()
    other[7] = 0
    one, changed = average_neighbouring_rows(frame), average_neighbouring_rows(other)
    np.testing.assert_array_equal(one[7], changed[7])
    assert (one[6] != changed[6]).any()
    np.testing.assert_allclose(average_neighbouring_rows(np.ones_like(frame)), 1, atol=1e-6)


def test_columns_are_shifted_and_mirrored_at_the_border():
    frame = np.arange(8).reshape(2, 4)
    np.testing.assert_array_equal(shift_columns(frame, 0), frame)
    np.testing.assert_array_equal(shift_columns(frame), [[1, 2, 3, 3], [5, 6, 7, 7]])
    np.testing.assert_array_equal(shift_columns(frame, 2), [[2, 3, 3, 2], [6, 7, 7, 6]])


def test_high_pass_removes_long_waves_and_keeps_short_ones():
    y = np.arange(256, dtype="float32")[:, None] * np.ones((1, 64), "float32")
    slow, fine = np.sin(2 * np.pi * y / 256), np.sin(2 * np.pi * y / 16)
    inside = slice(64, -64)
    np.testing.assert_allclose(high_pass(slow + fine)[inside], fine[inside], atol=0.1)


@pytest.mark.parametrize("sigma", [1.5, 6.0, 24.0])
@pytest.mark.parametrize("shape", [(40, 57), (1, 30), (96, 96)])
def test_smoothing_is_a_gaussian_filter(shape, sigma):
    values = np.random.default_rng(0).random(shape).astype("float32")
    expected = ndimage.gaussian_filter(values, sigma, mode="reflect", truncate=8)
    smoothed = gaussian_filter_dct(values, sigma)
    assert smoothed.dtype == np.float32
    np.testing.assert_allclose(smoothed, expected, atol=2e-4)


def test_a_template_is_smooth_along_the_rows():
    frame = np.zeros((20, 21), dtype="float32")
    frame[9, 10] = 1
    row = average_neighbouring_rows(frame)[10]
    np.testing.assert_allclose(row, row[::-1], atol=1e-7)
    assert row[10] > row[9] > row[8] > 0
    assert row[9] > 0.5 * row[10]


def test_noise_variance_is_proportional_to_the_local_mean():
    mean = np.full((120, 160), 10.0)
    mean[:, 80:] = 40
    frame = np.random.default_rng(0).poisson(mean).astype("float32")
    variance = estimate_noise_variance(frame, high_pass(frame))
    dim, bright = variance[:, :60].mean(), variance[:, 100:].mean()
    assert bright / dim == pytest.approx(4, rel=0.05)


def test_the_noise_is_that_of_the_pixels_with_data():
    frame = np.random.default_rng(0).normal(10, 2, (96, 96)).astype("f4")
    inside = np.ones(frame.shape, bool)
    inside[40:] = False
    filled = np.where(inside, frame, np.float32(10))
    found = estimate_noise_variance(filled, high_pass(filled), inside)
    np.testing.assert_allclose(found[inside].mean(), 4, rtol=0.15)
    assert estimate_noise_variance(filled, high_pass(filled)).mean() < 2.5
