import numpy as np
import pytest

from stemkit.registration._bands import band_shares, split_bands


@pytest.mark.parametrize("n_bands", [1, 2, 9])
@pytest.mark.parametrize("shape", [(16, 16), (9, 20), (1, 12)])
def test_bands_add_up_to_the_frame(n_bands, shape):
    frame = np.random.default_rng(0).random(shape, dtype="f4")
    parts = list(split_bands(frame, n_bands))
    assert len(parts) == n_bands
    np.testing.assert_allclose(np.sum(parts, axis=0), frame, atol=1e-5)


def test_weights_of_bands_are_interpolated_linearly():
    frequency = np.linspace(0, 0.7, 29)
    weights = np.array([1, 0.4, 0.3, 0.9, 0.2])
    found = np.tensordot(weights, band_shares(frequency, 5), 1)
    np.testing.assert_allclose(found, np.interp(frequency, np.arange(5) / 8, weights), atol=1e-12)


def test_a_wave_is_in_the_bands_of_its_frequency():
    y = np.arange(64)[:, None] * np.ones(64)
    wave = np.cos(np.pi * (y + 0.5) * 24 / 64)  # 24 half periods: 3/16 cycles per px
    powers = [np.mean(part**2) / np.mean(wave**2) for part in split_bands(wave, 9)]
    np.testing.assert_allclose(powers, [0, 0, 0, 1, 0, 0, 0, 0, 0], atol=1e-6)
