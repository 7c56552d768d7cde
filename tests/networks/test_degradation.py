import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemkit.engine import put_weights, read_checkpoint
from stemkit.networks.degradation import DegradationNet


@pytest.fixture(scope="module")
def small_net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DegradationNet(channels=(4, 6, 8)).eval()


def random_pairs(*shape, seed=0):
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(seed))


def test_released_layout_gives_released_outputs(shared_fixtures):
    weights = read_checkpoint(shared_fixtures / "atomdiffuser_released_layout.pth")
    with np.load(shared_fixtures / "atomdiffuser_released_layout_io.npz") as io:
        inputs = [torch.as_tensor(io[f"in{i}"]) for i in range(3)]
        expected = [io["out0"], io["out1"]]
    net = DegradationNet().eval()
    put_weights(net, weights, "the fixture")
    with torch.inference_mode():
        outputs = net(*inputs)
    for output, truth in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output, truth, atol=1e-4 * truth.std())


def test_number_of_parameters_is_the_released_one():
    assert sum(p.numel() for p in DegradationNet().parameters()) == 2_496_676


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), t=st.floats(0, 100))
def test_frames_of_any_size_give_a_decay_of_their_size(small_net, height, width, t):
    x0, xT = random_pairs(2, 1, height, width)
    with torch.inference_mode():
        motion, decay = small_net(x0, xT, t)
    assert motion.shape == (2, 3)
    assert decay.shape == (2, 1, height, width)
    assert ((decay >= 0) & (decay <= 1)).all()


def test_padding_repeats_the_edge(small_net):
    x0, xT = random_pairs(1, 1, 13, 18)
    padded = [torch.nn.functional.pad(x, (0, 6, 0, 3), mode="replicate") for x in (x0, xT)]
    with torch.inference_mode():
        motion, decay = small_net(x0, xT, 30.0)
        padded_motion, padded_decay = small_net(*padded, 30.0)
    torch.testing.assert_close(motion, padded_motion)
    torch.testing.assert_close(decay, padded_decay[..., :13, :18])


def test_one_encoding_serves_several_times(small_net):
    x0, xT = random_pairs(3, 1, 16, 16)
    with torch.inference_mode():
        features = small_net.encode(x0, xT)
        for t in (0.0, 40.0, 100.0):
            motion, decay = small_net(x0, xT, t)
            assert torch.equal(small_net.decode(features, t), decay)
            assert torch.equal(small_net.motion(features, t), motion)


def test_each_pair_has_its_own_time_and_frames(small_net):
    x0, xT = random_pairs(3, 1, 16, 16)
    times = torch.tensor([0.0, 50.0, 100.0])
    with torch.inference_mode():
        motion, decay = small_net(x0, xT, times)
        alone = [small_net(x0[i : i + 1], xT[i : i + 1], float(times[i])) for i in range(3)]
        swapped = small_net(xT, x0, times)
    torch.testing.assert_close(motion, torch.cat([m for m, _ in alone]))
    torch.testing.assert_close(decay, torch.cat([d for _, d in alone]))
    assert not torch.allclose(swapped[1], decay)


def test_every_weight_learns():
    net = DegradationNet(channels=(2, 3, 4), dropout=0.0)
    x0, xT = random_pairs(2, 1, 16, 16)
    motion, decay = net(x0, xT, torch.tensor([20.0, 80.0]))
    (motion.square().sum() + decay.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_decay_lies_among_the_estimates_if_the_own_one_has_no_weight():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = DegradationNet((2, 2, 2), n_evidence=3).eval()
        first, second = torch.rand(2, 2, 1, 21, 34)
        estimates = torch.rand(2, 4, 21, 34)  # the last one is the standard error
    with torch.no_grad():
        # Log weights. That of the network's own estimate is bounded, so the others are raised.
        net.judge[-1].bias[:4] = torch.tensor([1e4, 1e4, 1e4, -1e4])
    _, decay = net(first, second, 100.0, estimates)
    assert decay.shape == (2, 1, 21, 34)
    assert (decay >= estimates[:, :3].amin(dim=1, keepdim=True) - 1e-4).all()
    assert (decay <= estimates[:, :3].amax(dim=1, keepdim=True) + 1e-4).all()
    # At a constant dose rate the decay at half of the time is the square root.
    even = torch.full_like(estimates, 0.25)
    _, halfway = net(first, second, 50.0, even)
    torch.testing.assert_close(halfway, torch.full_like(halfway, 0.5), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"channels": (8, 8)}, "channels must be 3 items, each an int of at least 1"),
        ({"channels": (8, 0, 8)}, "channels must be 3 items"),
        ({"dropout": 1.0}, "dropout must be a finite number"),
        ({"n_evidence": -1}, "n_evidence must be an int of at least 0"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        DegradationNet(**options)
