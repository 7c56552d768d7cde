"""Properties of the decay with any weights, in stemkit's layout and in the released one."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemkit._scene import render_columns
from stemkit.damage._aligned_pair import AlignedPair, Background
from stemkit.damage._background_level import background_of_pair
from stemkit.damage._decay_error import DecayError
from stemkit.damage._decay_estimates import N_ESTIMATES, decay_estimates
from stemkit.damage._decay_map import decay_between
from stemkit.damage._network import DamageNetwork
from stemkit.damage._normalization import scale_pair
from stemkit.datasets import make_scene
from stemkit.networks import DegradationNet
from stemkit.networks.degradation import MIN_DECAY

UNITS = {"local": N_ESTIMATES, "released": 0}


@cache
def untrained(units, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = DegradationNet((2, 3, 4), n_evidence=UNITS[units])
        with torch.no_grad():  # otherwise the output hardly depends on the input
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
    decay = decay_between(untrained(units, seed), pair, times_in_order).decay
    assert decay.shape == (len(times_in_order), *shape)
    assert (decay[0] == 1).all()
    assert (np.diff(decay, axis=0) <= 1e-6).all()
    assert decay.min() >= 0
    # The decay at a time does not depend on the other times.
    alone = decay_between(untrained(units, seed), pair, times_in_order[1:2]).decay
    np.testing.assert_allclose(alone[0], decay[1], atol=1e-6)


@pytest.mark.parametrize("units", UNITS)
def test_outside_the_overlap_the_decay_is_that_of_the_nearest_pixel(units):
    first, second, _ = frames(0, (32, 40))
    overlap = np.ones(first.shape, dtype=bool)
    overlap[:, :9] = False
    pair = AlignedPair.from_frames(first, second, overlap)
    decay = decay_between(untrained(units, 0), pair, np.array([0.4, 1.0])).decay
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
    decay = decay_between(untrained("local", 0), pair, np.ones(1)).decay[0]
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
    decay = decay_between(untrained("local", 0), pair, np.ones(1)).decay[0]
    assert np.abs(decay[20:-20, 80:] - 0.6).max() < 0.05


def test_damage_of_a_released_network_is_interpolated_and_never_decreases(monkeypatch):
    # Damage at quarters of the time. The first value exceeds the second, which replaces it.
    at_knots = torch.tensor([0.4, 0.2, 0.3, 0.9])
    monkeypatch.setattr(
        "stemkit.damage._decay_map._damage_at_knots",
        lambda module: lambda x: at_knots[None, :, None, None].expand(1, 4, *x.shape[-2:]),
    )
    pair = AlignedPair.from_frames(*frames(0, (8, 9))[:2])
    times = np.linspace(0, 1, 11)
    decay = decay_between(untrained("released", 0), pair, times).decay
    expected = 1 - np.interp(times, np.linspace(0, 1, 5), [0, 0.2, 0.2, 0.3, 0.9])
    np.testing.assert_allclose(decay[:, 3, 4], expected, atol=1e-6)


@pytest.mark.parametrize("units", UNITS)
def test_decay_at_the_second_frame_is_that_of_the_network(units, monkeypatch):
    monkeypatch.setattr("stemkit.damage._decay_map.refine_decay", lambda above, decay: decay)
    monkeypatch.setattr(
        "stemkit.damage._decay_map.decay_error",
        lambda pair, above, background, decay, refined=True: DecayError(decay, 0 * decay),
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = DamageNetwork(DegradationNet((4, 4, 4), n_evidence=UNITS[units]).eval(), units)
    first, second, _ = frames(1, (24, 40))
    pair = AlignedPair.from_frames(first, second)
    inputs = [torch.from_numpy(f)[None, None] for f in scale_pair(first, second, units)]
    inputs.append(torch.tensor([100.0]))
    if units == "local":
        estimates = decay_estimates(pair, pair.above(background_of_pair(pair)))
        inputs.append(torch.from_numpy(estimates)[None])
    with torch.inference_mode():
        expected = network.module(*inputs)[1][0, 0].numpy()
    assert expected.std() > 1e-3
    found = decay_between(network, pair, np.ones(1)).decay[0]
    np.testing.assert_allclose(found, expected.clip(MIN_DECAY), atol=1e-5)


def test_a_large_frame_is_computed_in_tiles_without_seams(monkeypatch):
    shape = (40, 470)
    rng = np.random.default_rng(0)
    pair = AlignedPair.from_frames(*rng.random((2, *shape), dtype=np.float32))
    sizes = []
    network = untrained("local", 0)
    encode = network.module.encode

    def recorded(first, second):
        sizes.append(first.shape[-1])
        return encode(first, second)

    monkeypatch.setattr(network.module, "encode", recorded, raising=False)
    tiled = decay_between(network, pair, np.ones(1)).decay
    assert max(sizes) == 256
    monkeypatch.setattr("stemkit.damage._decay_map._TILE", 480)
    whole = decay_between(network, pair, np.ones(1)).decay
    assert sizes[-1] >= 470
    np.testing.assert_allclose(tiled, whole, atol=1e-3)


@pytest.mark.parametrize("device, precision", [("cpu", "32-true"), ("meta", "bf16-mixed")])
def test_the_network_runs_on_its_device_and_in_its_precision(device, precision, monkeypatch):
    options = {}

    def run(function, inputs, **given):
        options.update(given)
        return np.ones((1, 4, *inputs.shape[-2:]), "float32")

    monkeypatch.setattr("stemkit.damage._decay_map.run_tiled", run)
    monkeypatch.setattr("stemkit.damage._decay_map.pick_device", lambda device: "cpu")
    network = replace(untrained("released", 0), device=device, precision=precision)
    decay_between(network, AlignedPair.from_frames(*frames(0, (8, 9))[:2]), np.ones(1))
    assert (options["device"], options["precision"]) == (device, precision)


def test_a_given_background_takes_the_place_of_the_pairs_own(monkeypatch):
    monkeypatch.setattr(
        "stemkit.damage._decay_map._decay_at_end",
        lambda module: lambda x: torch.full_like(x[:, :1], 0.6),
    )
    first, second = faded_lattice()
    # Both frames have the same film, which does not decay.
    pair = AlignedPair.from_frames(first + 1, second + 1)
    film = Background(np.ones_like(first), 0.0)
    none = Background(np.zeros_like(first), 0.0)
    network = untrained("local", 0)
    with_film, without = (
        decay_between(network, pair, np.ones(1), b).decay[0] for b in (film, none)
    )
    assert abs(np.median(with_film) - 0.6) < 0.01
    mean = float(first.mean())
    assert np.median(without) == pytest.approx((0.6 * mean + 1) / (mean + 1), abs=0.05)
