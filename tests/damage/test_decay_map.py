"""Properties of the decay with any weights, in our layout and in the released one."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemkit._scene import render_columns
from stemkit.damage._aligned_pair import AlignedPair
from stemkit.damage._decay_estimates import N_ESTIMATES
from stemkit.damage._decay_map import decay_between
from stemkit.damage._network import DamageNetwork
from stemkit.datasets import make_scene
from stemkit.networks import DegradationNet

UNITS = {"local": N_ESTIMATES, "released": 0}


@cache
def untrained(units, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = DegradationNet((2, 3, 4), n_evidence=UNITS[units])
        with torch.no_grad():  # otherwise it would hardly depend on its input
            for weight in module.parameters():
                weight.mul_(3)
    return DamageNetwork(module, units)


def frames(seed, shape):
    rng = np.random.default_rng(seed)
    first = rng.random(shape, dtype=np.float32)
    second = first * rng.random(shape, dtype=np.float32)
    overlap = np.ones(shape, dtype=bool)
    overlap[:, : rng.integers(0, shape[1] + 1)] = False
    return first, second, overlap


@pytest.mark.parametrize("units", UNITS)
@settings(max_examples=12)
@given(
    seed=st.integers(0, 3),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    times=st.lists(st.floats(0, 1), min_size=1, max_size=6),
)
def test_decay_starts_at_one_and_never_grows(units, seed, shape, times):
    first, second, overlap = frames(seed, shape)
    pair = AlignedPair.from_frames(first, second, overlap)
    times_in_order = np.array([0.0, *sorted(times), 1.0])
    decay = decay_between(untrained(units, seed), pair, times_in_order)
    assert decay.shape == (len(times_in_order), *shape)
    assert (decay[0] == 1).all()
    assert (np.diff(decay, axis=0) <= 1e-6).all()
    assert decay.min() >= 0
    # The decay at a time does not depend on the other times.
    alone = decay_between(untrained(units, seed), pair, times_in_order[1:2])
    np.testing.assert_allclose(alone[0], decay[1], atol=1e-6)


@pytest.mark.parametrize("units", UNITS)
def test_outside_the_overlap_the_decay_is_that_of_the_nearest_pixel(units):
    first, second, _ = frames(0, (32, 40))
    overlap = np.ones(first.shape, dtype=bool)
    overlap[:, :9] = False
    pair = AlignedPair.from_frames(first, second, overlap)
    decay = decay_between(untrained(units, 0), pair, np.array([0.4, 1.0]))
    np.testing.assert_array_equal(decay[:, :, :9], np.repeat(decay[:, :, 9:10], 9, axis=2))


def faded_lattice(shape=(96, 144)):
    scene = make_scene(shape, content="perfect", spacing=(9, 14), random_state=1)
    first = render_columns(scene, shape)
    return first, (0.6 * first).astype("float32")


def test_a_wrong_map_of_the_network_is_refined(monkeypatch):
    monkeypatch.setattr(
        "stemkit.damage._decay_map._decay_at_end",
        lambda module: lambda x: torch.full_like(x[:, :1], 0.9),
    )
    pair = AlignedPair.from_frames(*faded_lattice())
    decay = decay_between(untrained("local", 0), pair, np.ones(1))[0]
    assert abs(np.median(decay) - 0.6) < 0.02


def test_pixels_outside_the_overlap_have_no_influence_on_estimates(monkeypatch):
    monkeypatch.setattr(
        "stemkit.damage._decay_map._decay_at_end",
        lambda module: lambda x: torch.full_like(x[:, :1], 0.6),
    )
    first, second = faded_lattice()
    overlap = np.ones(first.shape, dtype=bool)
    overlap[:, 100:] = False
    second[:, 100:] = 5 * first[:, 100:]
    pair = AlignedPair.from_frames(first, second, overlap)
    decay = decay_between(untrained("local", 0), pair, np.ones(1))[0]
    assert np.abs(decay[20:-20, 80:] - 0.6).max() < 0.05
