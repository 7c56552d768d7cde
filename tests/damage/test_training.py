"""Tests of the loss that the damage network is trained with."""

import pytest
import torch

from stemkit.damage._training import pair_loss


class Constant(torch.nn.Module):
    """A network whose answer is given."""

    def __init__(self, theta, decay):
        super().__init__()
        self.theta, self.decay = theta, decay

    def forward(self, first, second, t, estimates):
        return self.theta, self.decay


def batch():
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(2, 3, 1, 8, 8, generator=generator)
    decay = torch.rand(3, 1, 8, 8, generator=generator)
    theta = torch.rand(3, 2, 3, generator=generator)
    return frames[0], frames[1], torch.rand(3), frames, decay, theta


def test_the_truth_has_no_loss():
    *frames, decay, theta = batch()
    terms = pair_loss(Constant(theta, decay), (*frames, decay, theta))
    assert set(terms) == {"loss", "decay_mae", "motion_mae"}
    assert all(value == 0 for value in terms.values())


@pytest.mark.parametrize("sign", [-1, 1])
def test_errors_of_either_sign_count_alike(sign):
    *frames, decay, theta = batch()
    error = torch.full_like(decay, 0.1)
    error[0] = 0.3
    terms = pair_loss(Constant(theta, decay + sign * error), (*frames, decay, theta))
    assert terms["decay_mae"] == pytest.approx((0.3 + 0.1 + 0.1) / 3, rel=1e-5)
    assert terms["motion_mae"] == 0
    even = pair_loss(Constant(theta, decay + 0.5 / 3), (*frames, decay, theta))
    assert even["decay_mae"] == pytest.approx(float(terms["decay_mae"]), rel=1e-5)
    assert terms["loss"] > even["loss"]  # the square weighs large errors more
    moved = pair_loss(Constant(theta + sign * 0.2, decay), (*frames, decay, theta))
    assert moved["motion_mae"] == pytest.approx(0.2, rel=1e-5)
    assert 0 < moved["loss"] < moved["motion_mae"]  # the motion matters less
