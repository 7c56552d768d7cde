"""Tests of the level, the noise and the gradients of frames."""

import numpy as np
import pytest

from stemkit.datasets import make_nucleation
from stemkit.denoise._frame_level import measure, surface


def make_noise(shape=(128, 128), level=100.0, sigma=5.0, seed=0):
    return np.random.default_rng(seed).normal(level, sigma, shape)


@pytest.mark.parametrize("shape", [(128, 128), (70, 200), (700, 640)])
def test_level_and_noise_are_those_of_the_frame(shape):
    found = measure(make_noise(shape))
    assert abs(found.level - 100) < 0.3
    assert abs(found.noise / 5 - 1) < 0.03
    assert not found.has_gradient


@pytest.mark.parametrize("gain, offset", [(1e-9, -2e-7), (1e6, 1e7), (4.0, 0.0)])
def test_measures_follow_the_unit(gain, offset):
    frame = make_nucleation(1, shape=(128, 128), random_state=0).noisy[0].astype(float)
    one, other = measure(frame), measure(gain * frame + offset)
    assert other.level == pytest.approx(gain * one.level + offset, rel=1e-6)
    assert other.noise == pytest.approx(gain * one.noise, rel=1e-5)
    assert other.spread == pytest.approx(gain * one.spread, rel=1e-5)
    assert other.steepness == pytest.approx(one.steepness, rel=1e-4)


@pytest.mark.parametrize("shape", [(128, 128), (600, 500)])
@pytest.mark.parametrize("axis", [0, 1])
def test_noise_follows_a_gradient_of_the_gain(shape, axis):
    ramp = np.linspace(1, 4, shape[axis])
    ramp = np.broadcast_to(ramp[:, np.newaxis] if axis == 0 else ramp, shape)
    found = measure(make_noise(shape) * ramp)
    noise = found.noise_over(shape)
    assert found.has_gradient
    np.testing.assert_allclose(noise, 5 * ramp, rtol=0.2)
    np.testing.assert_allclose(surface(found.levels, shape), 100 * ramp, rtol=0.05)


def test_filled_part_has_no_say_on_the_noise():
    frame = make_noise()
    frame[86:] = 100 + 0.01 * make_noise((42, 128), 0, 1)
    assert measure(frame).across < 2


def test_constant_frames_are_blank():
    assert measure(np.full((32, 32), 7.0)).is_blank
    assert not measure(make_noise((32, 32))).is_blank
