import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from stemkit._scene import render_columns
from stemkit.damage._decay_estimates import N_ESTIMATES
from stemkit.damage._network import (
    DamageNetwork,
    initial_network,
    motion_to_theta,
    network_from_weights,
    theta_to_motion,
)
from stemkit.damage._normalization import scale_pair
from stemkit.datasets import make_scene
from stemkit.networks.degradation import DegradationNet
from stemkit.registration import Motion


@given(
    st.tuples(st.integers(2, 300), st.integers(2, 300)),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    st.floats(-3, 3),
)
def test_theta_and_rigid_motions_are_converted_both_ways(shape, drift, rotation):
    motion = Motion.from_parameters(shape, drift=drift, rotation=rotation)
    again = theta_to_motion(motion_to_theta(motion), shape)
    np.testing.assert_allclose(again.drift, motion.drift, atol=1e-3)
    assert again.rotation == pytest.approx(rotation, abs=1e-5)


def test_theta_is_the_matrix_of_a_sampling_grid():
    side = 128
    motion = Motion.from_parameters((side, side), drift=(6.3, -9.1), rotation=np.deg2rad(7))
    scene = make_scene((side, side), random_state=2)
    first = render_columns(scene, (side, side))
    second = render_columns(scene, (side, side), motion=motion)
    angle, tx, ty = (float(value) for value in motion_to_theta(motion))
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = torch.tensor([[[cos, -sin, tx], [sin, cos, ty]]], dtype=torch.float32)
    # At each pixel of the second frame the grid is its position in the first one.
    grid = F.affine_grid(matrix, (1, 1, side, side), align_corners=True)
    drawn = F.grid_sample(
        torch.from_numpy(first)[None, None], grid, mode="bicubic", align_corners=True
    )[0, 0].numpy()
    inside = (slice(24, -24), slice(24, -24))
    np.testing.assert_allclose(drawn[inside], second[inside], atol=0.05)
    assert np.abs(first - second)[inside].max() > 0.5


@pytest.mark.parametrize("n_evidence", [0, 2])
def test_network_is_rebuilt_from_its_weights(n_evidence):
    with torch.random.fork_rng():
        net = DegradationNet((2, 3, 4), n_evidence=n_evidence)
    again = network_from_weights(net.state_dict(), "w.safetensors")
    assert again.n_evidence == n_evidence
    assert not again.training
    for name, value in net.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


@pytest.mark.parametrize(
    "name", ["enc1.0.weight", "enc3.0.weight", "judge.8.bias", "out_theta.5.bias"]
)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 0, 0, 0), (500_000, 1, 1, 1)])
def test_weights_of_a_wrong_shape_are_named(name, shape):
    with torch.random.fork_rng():
        weights = DegradationNet((2, 2, 2), n_evidence=1).state_dict()
    weights[name] = torch.zeros(()).expand(shape)
    with pytest.raises(ValueError, match=r"w\.safetensors"):
        network_from_weights(weights, "w.safetensors")


def test_an_initial_network_takes_all_estimates_and_is_that_of_its_seed():
    before = torch.get_rng_state()
    one, same, other = (initial_network(None, seed) for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    assert one.n_evidence == N_ESTIMATES
    for a, b in zip(one.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not all(map(torch.equal, one.parameters(), other.parameters()))


def test_motion_is_that_of_the_networks_head():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = DegradationNet((2, 3, 4))
    first, second = np.random.default_rng(0).random((2, 24, 32), dtype=np.float32)
    found = DamageNetwork(module, "released").motion(first, second)
    scaled = [torch.from_numpy(f)[None, None] for f in scale_pair(first, second, "released")]
    with torch.inference_mode():
        theta, _ = module(*scaled, torch.tensor([100.0]))
    expected = theta_to_motion(theta[0].numpy(), (24, 32))
    np.testing.assert_allclose(found.drift, expected.drift, atol=1e-5)
    np.testing.assert_allclose(found.matrix, expected.matrix, atol=1e-6)
