import numpy as np
import pytest

from stemkit._fourier_rings import fourier_rings


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (8, 21), (33, 12)])
def test_a_wave_lies_in_the_ring_of_its_frequency(shape):
    ring, frequency = fourier_rings(*shape)
    assert ring.shape == frequency.shape == shape
    y, x = np.indices(shape)
    for periods_y, periods_x in [(1, 0), (0, 2), (2, 1), (3, 3)]:
        turns = periods_y * y / shape[0] + periods_x * x / shape[1]
        power = np.abs(np.fft.fft2(np.cos(2 * np.pi * turns)))
        # A real wave has two opposite bins.
        bins = power > 0.1 * power.max()
        expected = np.hypot(periods_y / shape[0], periods_x / shape[1])
        np.testing.assert_allclose(frequency[bins], expected)
        number = round(expected * min(shape))
        assert set(ring[bins]) == {number if number <= min(shape) // 2 else 0}


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (8, 21), (1, 9)])
def test_rings_end_at_the_nyquist_frequency_of_the_shorter_side(shape):
    ring, frequency = fourier_rings(*shape)
    assert set(ring.ravel()) == set(range(min(shape) // 2 + 1))
    inside = ring > 0
    np.testing.assert_array_less(abs(frequency * min(shape) - ring)[inside], 0.5 + 1e-9)
    assert ring[0, 0] == 0
    assert frequency[~inside].max() * min(shape) > min(shape) // 2 or min(shape) == 1
