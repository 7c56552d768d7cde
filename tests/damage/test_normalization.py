import numpy as np
import pytest

from stemkit._scene import render_columns
from stemkit.damage import normalize_pair
from stemkit.damage._normalization import _to_unit_range, scale_pair
from stemkit.datasets import make_scene


def lattice(shape=(96, 112), seed=0):
    scene = make_scene(shape, content="perfect", spacing=(9, 14), random_state=seed)
    return render_columns(scene, shape)


@pytest.mark.parametrize("gain", [1e-12, 1e-6, 1e-3, 7.0, 1e4, 1e8])
@pytest.mark.parametrize("offset", [0.0, 5.0, -5.0])
def test_normalised_pairs_do_not_depend_on_gain_and_offset(gain, offset):
    first = lattice()
    second = 0.4 * first + 0.1
    expected = normalize_pair(first, second)
    scaled = [(gain * (frame + offset)).astype("float32") for frame in (first, second)]
    np.testing.assert_allclose(normalize_pair(*scaled), expected, atol=1e-4)


def test_both_frames_are_scaled_alike():
    first = (lattice() * np.linspace(0.3, 2, 112)).astype("float32")
    one, same = normalize_pair(first, first)
    np.testing.assert_array_equal(one, same)
    # A second frame that is brighter stays brighter, most where the first has the least contrast.
    _, brighter = normalize_pair(first, first + np.float32(0.3))
    assert (brighter > one).all()
    assert (brighter - one)[:, 10].mean() > 2 * (brighter - one)[:, 100].mean()


def test_first_frame_has_even_contrast_and_the_second_keeps_its_loss():
    y, x = np.indices((96, 112)) / 96
    # A gradient of thickness over the field must not matter.
    first = (lattice() * (0.3 + y + x)).astype("float32")
    one, other = normalize_pair(first, 0.25 * first)
    assert one.dtype == other.dtype == np.float32
    inside = (slice(16, -16), slice(16, -16))
    assert one[inside].mean() == pytest.approx(0.5, abs=0.02)
    halves = [one[inside][:, part].std() for part in (slice(0, 40), slice(40, 80))]
    np.testing.assert_allclose(halves, halves[::-1], rtol=0.15)
    assert 0.15 < halves[0] < 0.35
    assert other[inside].std() == pytest.approx(0.25 * one[inside].std(), rel=0.1)


@pytest.mark.parametrize("second", [0.0, 3.0, 1e30])
@pytest.mark.parametrize("first", [0.0, 3.0, 1000.7, 1e30])
def test_constant_frames_stay_finite(first, second):
    pair = normalize_pair(*(np.full((40, 40), v, "float32") for v in (first, second)))
    assert np.isfinite(pair).all()
    # Rounding errors are not scaled up.
    assert np.ptp(pair[0]) < 0.5


def test_noise_of_vacuum_is_not_scaled_to_the_contrast_of_a_specimen():
    rng = np.random.default_rng(0)
    first = lattice((96, 192))
    first[:, 96:] = 0.01 * rng.standard_normal((96, 96))
    one, _ = normalize_pair(first, first)
    assert one[:, 140:].std() < 0.3 * one[:, :60].std()


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_constant_frames_in_the_unit_range_are_zero(value):
    frame = np.full((8, 8), value, dtype="float32")
    for scaled in _to_unit_range(frame, frame):
        np.testing.assert_array_equal(scaled, 0)


def test_the_unit_range_is_that_of_both_frames():
    first, second = np.random.default_rng(0).uniform(3, 9, (2, 8, 8)).astype("float32")
    second[0, 0], first[0, 0] = 1, 21
    scaled = _to_unit_range(first, second)
    assert (scaled[0].max(), scaled[1].min()) == (1, 0)
    np.testing.assert_allclose(scaled[0] * 20 + 1, first, rtol=1e-5)


def test_each_network_gets_the_units_of_its_training():
    first, second = np.random.default_rng(0).uniform(3, 9, (2, 40, 40)).astype("float32")
    for found, expected in zip(
        scale_pair(first, second, "local"), normalize_pair(first, second), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    released = scale_pair(first, second, "released")
    assert min(frame.min() for frame in released) == 0
    assert max(frame.max() for frame in released) == 1
