import numpy as np
import pytest
import torch

from stemkit.engine import put_weights, read_checkpoint
from stemkit.networks import SCGN, SFIN, UNet, _frame
from stemkit.networks._frame import rename_released
from stemkit.networks.scgn import LAYOUTS

MAKERS = {
    **{name: lambda name=name: SCGN(1, 8, layout=name) for name in LAYOUTS},
    "sfin": lambda: SFIN(1, 8),
    "unet": lambda: UNet(8),
}


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()


def frames(*shape, seed=0):
    return 255 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    "name, make", [("scgn", lambda: SCGN(layout="released")), ("sfin", SFIN)], ids=["scgn", "sfin"]
)
def test_released_weights_give_released_outputs(name, make, shared_fixtures):
    network = make().eval()
    weights = read_checkpoint(shared_fixtures / f"{name}_released_layout.pth")
    put_weights(network, rename_released(weights), name)
    with np.load(shared_fixtures / f"{name}_released_layout_io.npz") as io:
        frame, expected = torch.from_numpy(io["in0"]), io["out0"]
    with torch.inference_mode():
        np.testing.assert_allclose(network(frame), expected, atol=1e-4 * expected.std())


def test_numbers_of_parameters():
    assert count(SCGN(layout="released")) == 1_640_641
    assert count(SFIN()) == 960_193
    # without the 3x3 convolution before each of 16 gates
    assert count(SCGN()) == 1_640_641 - 16 * (64 * 64 * 9 + 64)


def test_each_row_of_the_ablation_is_one_call():
    """In each of 16 layers, each part has the number of parameters given in the paper."""
    plain = {"deviation_weighting": False, "band_weighting": None, "position_embedding": False}
    deviation = {"deviation_weighting": True}
    band, channel = ({"band_weighting": name} for name in ("band", "channel"))
    n_deviation, n_gate, n_position = 32 * 32, 2 * 64 * 4, 2 * 64
    sizes = {
        "V1": (plain, 0),
        "V2": (plain | band | {"position_embedding": True}, n_gate + n_position),
        "V3": (plain | deviation, n_deviation),
        "V4": (plain | deviation | channel, n_deviation + n_gate),
        "V5": (plain | deviation | band, n_deviation + n_gate),
        "all": ({}, n_deviation + n_gate + n_position),
    }
    first = count(SCGN(**plain))
    assert {name: count(SCGN(**how)) - first for name, (how, _) in sizes.items()} == {
        name: 16 * n for name, (_, n) in sizes.items()
    }
    outputs = []
    for how, _ in sizes.values():
        with torch.inference_mode():
            outputs.append(seeded(lambda how=how: SCGN(1, 8, **how))(frames(1, 1, 16, 16)))
    assert len({float(output.sum()) for output in outputs}) == len(sizes)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (6, 1), (2, 3), (15, 17), (16, 8)])
def test_frames_of_any_size(make, size):
    network = seeded(make)
    batch = frames(3, 1, *size)
    with torch.inference_mode():
        together = network(batch)
        alone = network(batch[1:2])
    assert together.shape == batch.shape
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together[1:2], alone, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("value", [0.0, 7.0, 1e6])
def test_constant_frames(make, value):
    with torch.inference_mode():
        output = seeded(make)(torch.full((1, 1, 16, 16), value))
    assert torch.isfinite(output).all()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_every_parameter_learns(make):
    network = seeded(make).train()
    network(frames(2, 1, 16, 16)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    reached = [bool(p.grad.any()) for p in network.parameters()]
    # in such a small network a bottleneck with a single ReLU can have zero gradient
    assert sum(reached) > 0.8 * len(reached)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_half_precision_stays_near(make):
    network = seeded(make)
    with torch.inference_mode():
        exact = network(frames(1, 1, 24, 24))
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(frames(1, 1, 24, 24)).float()
    assert (rounded - exact).std() < 0.05 * exact.std()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SCGN(0), "n_blocks must be an int of at least 1"),
        (lambda: SFIN(n_channels=7), "n_channels must be even"),
        (lambda: UNet(3), "n_channels must be even"),
        (lambda: SCGN(band_weighting="all"), "band_weighting must be None"),
        (lambda: SCGN(layout="mine"), 'layout must be one of "stemkit", "paper" and "released"'),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("make", [MAKERS["released"], MAKERS["sfin"]], ids=["released", "sfin"])
def test_blocks_that_are_run_twice_learn_the_same(make, monkeypatch):
    found = []
    for room in (2**40, 0):
        monkeypatch.setattr(_frame, "_max_kept_bytes", lambda device, room=room: room)
        network = seeded(make).train()
        runs = []
        network.blocks[0].register_forward_pre_hook(lambda *_, runs=runs: runs.append(1))
        network(frames(2, 1, 16, 16)).square().mean().backward()
        gradients = {f"grad of {n}": p.grad for n, p in network.named_parameters()}
        found.append(({**gradients, **network.state_dict()}, len(runs)))
        network.eval()(frames(1, 1, 16, 16))
    (kept, once), (afresh, twice) = found
    assert (once, twice) == (1, 2)
    for name, value in kept.items():
        torch.testing.assert_close(afresh[name], value, msg=name)


@pytest.mark.parametrize("weights", [None, [], "x", 3])
def test_released_weights_are_a_mapping(weights):
    with pytest.raises(ValueError, match=r"^weights must be a Mapping"):
        rename_released(weights)
