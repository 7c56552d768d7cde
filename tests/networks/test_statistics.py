import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stemkit.networks._statistics import local_deviation


def direct(x, floor):
    """Standard deviation of each window, in double precision."""
    padded = x
    for axis in (2, 3):
        mode = "reflect" if x.shape[axis] > 1 else "edge"
        padded = np.pad(padded, [(int(axis == a),) * 2 for a in range(4)], mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    variance = windows.var((4, 5))
    return np.sqrt(np.maximum(variance, 1e-5) if floor == "clamp" else variance + 1e-5)


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    level=st.sampled_from([0.0, 100.0]),
    floor=st.sampled_from(["add", "clamp"]),
)
def test_deviation_is_that_of_each_window(height, width, level, floor):
    x = np.random.default_rng(height * 10 + width).normal(level, 1, (2, 3, height, width))
    x = x.astype(np.float32)
    found = local_deviation(torch.from_numpy(x), floor).numpy()
    variance = direct(x.astype(float), floor) ** 2
    np.testing.assert_allclose(found**2, variance, rtol=1e-4, atol=1e-6)


def test_nothing_cancels_on_a_level():
    x = torch.from_numpy(np.random.default_rng(0).normal(100, 0.01, (1, 1, 64, 64))).float()
    expected = direct(x.double().numpy(), "add")
    np.testing.assert_allclose(local_deviation(x).numpy(), expected, rtol=1e-3)
    # the formula of the paper has errors of several times the deviation
    mean, square = (torch.nn.functional.avg_pool2d(v, 3, 1) for v in (x, x.square()))
    written = (square - mean.square()).clamp(min=0).add(1e-5).sqrt()
    assert np.abs(written.numpy() - expected[..., 1:-1, 1:-1]).max() > 0.5 * expected.mean()


@pytest.mark.parametrize("floor", ["add", "clamp"])
def test_constant_frames_have_the_floor_and_a_finite_gradient(floor):
    x = torch.full((1, 2, 5, 5), 1e6, requires_grad=True)
    deviation = local_deviation(x, floor)
    torch.testing.assert_close(deviation, torch.full_like(deviation, 1e-5**0.5))
    deviation.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_gradient():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(local_deviation, x)
