import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from stemkit.datasets import make_crystal_images
from stemkit.metrics import epi, gradient_correlation
from stemkit.noise import CompositeDegradationNoise

METRICS = [epi, gradient_correlation]


def stacks(n=3, shape=(18, 23), seed=0):
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 255, (n, *shape))
    return true, true + rng.normal(0, 80, true.shape)


def differences(frame):
    """Differences of neighbours, computed with loops."""
    height, width = frame.shape
    down = [frame[i + 1, j] - frame[i, j] for i in range(height - 1) for j in range(width)]
    right = [frame[i, j + 1] - frame[i, j] for i in range(height) for j in range(width - 1)]
    return np.array(down + right)


def test_both_equal_a_loop_over_pixels():
    true, pred = stacks()
    steep = epi(true, pred, reduction="none")
    alike = gradient_correlation(true, pred, reduction="none")
    for index, (a, b) in enumerate(zip(true, pred, strict=True)):
        first, second = differences(a), differences(b)
        assert steep[index] == pytest.approx(np.abs(second).sum() / np.abs(first).sum(), rel=1e-6)
        cosine = (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
        assert alike[index] == pytest.approx(cosine, abs=1e-6)
    assert epi(true, pred) == pytest.approx(steep.mean())
    weights = [1, 0, 3]
    assert epi(true, pred, sample_weight=weights) == pytest.approx((steep[0] + 3 * steep[2]) / 4)


@given(st.floats(0.01, 100), st.floats(-500, 500))
def test_gain_and_offset(gain, offset):
    true, _ = stacks(1)
    assert epi(true, gain * true + offset) == pytest.approx(gain, rel=1e-4)
    assert gradient_correlation(true, gain * true + offset) == pytest.approx(1, abs=1e-6)
    assert gradient_correlation(true, -gain * true) == pytest.approx(-1, abs=1e-6)


def test_constant_frames():
    true, _ = stacks(1)
    flat = np.full_like(true, 3.0)
    assert epi(true, flat) == gradient_correlation(true, flat) == 0
    assert epi(flat, flat) == gradient_correlation(flat, flat) == 1
    assert epi(flat, true) == np.inf
    assert gradient_correlation(flat, true) == 0


def test_noise_raises_the_index_and_lowers_the_correlation():
    clean = make_crystal_images("GaN", shape=(96, 96), random_state=0).frames
    blurred = ndimage.gaussian_filter(clean, (0, 2, 2))
    noisy = [
        CompositeDegradationNoise(level=level, random_state=0).fit_transform(clean)
        for level in (1, 3, 5)
    ]
    assert epi(clean, blurred) < 0.8
    assert 3 < epi(clean, noisy[0]) < epi(clean, noisy[1]) < epi(clean, noisy[2])
    alike = [gradient_correlation(clean, frames) for frames in (blurred, *noisy)]
    assert (np.diff(alike) < 0).all()


@pytest.mark.parametrize("metric", METRICS)
def test_bad_input_is_named(metric):
    true, pred = stacks()
    with pytest.raises(ValueError, match=r"y_pred has shape \(2, 18, 23\)"):
        metric(true, pred[:2])
    with pytest.raises(ValueError, match=r"^reduction must be"):
        metric(true, pred, reduction="sum")
    with pytest.raises(ValueError, match="y_true contains NaN"):
        metric(true * np.nan, pred)
