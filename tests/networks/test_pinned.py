import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stemkit.networks import PINNED


def make(**parameters):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PINNED(**{"n_channels": 3, **parameters}).eval()


@pytest.fixture(scope="module", params=[0, 2], ids=["paper", "evidence"])
def net(request):
    return make(n_evidence=request.param)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3))
def test_frames_of_any_size_come_back_in_their_size(net, height, width, n):
    with torch.inference_mode():
        output = net(torch.rand(n, 1, height, width))
    assert output.shape == (n, 1, height, width)
    assert output.isfinite().all()


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 4])
def test_blocks_have_three_convolutions_and_halve_what_they_get(n_blocks):
    net = make(n_blocks=n_blocks, slope=0.2)
    assert len([m for m in net.encoder if isinstance(m, nn.Conv2d)]) == 3 * n_blocks
    ups = [m for m in net.decoder if isinstance(m, nn.ConvTranspose2d)]
    downs = [m for m in net.encoder if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    assert len(ups) == len(downs) == n_blocks
    assert len([m for m in net.decoder if isinstance(m, nn.Conv2d)]) == 2 * n_blocks
    slopes = {m.negative_slope for m in net.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.2}
    latent = net.encoder(torch.rand(1, 1, 32, 48))
    assert latent.shape == (1, 3 * 2 ** (n_blocks - 1), 32 >> n_blocks, 48 >> n_blocks)


def test_number_of_weights():
    # The number of parameters for three blocks of 32, 64 and 128 channels.
    down = [(1, 32), (32, 32), (32, 32), (32, 64), (64, 64), (64, 64), (64, 128)]
    down += [(128, 128), (128, 128)]
    up = [(128, 128), (128, 64), (64, 64), (64, 32), (32, 32), (32, 32)]
    transposed = [(128, 128), (64, 64), (32, 32)]
    expected = sum(9 * a * b + b for a, b in [*down, *up, (32, 1)])
    expected += sum(16 * a * b + b for a, b in transposed)
    assert sum(p.numel() for p in PINNED().parameters()) == expected


def test_padding_mirrors():
    net = make()
    x = torch.rand(1, 1, 13, 18, generator=torch.Generator().manual_seed(0))
    padded = torch.from_numpy(np.pad(x, [(0, 0), (0, 0), (0, 3), (0, 6)], mode="symmetric"))
    with torch.inference_mode():
        torch.testing.assert_close(net(padded)[..., :13, :18], net(x))


def test_shift_by_the_stride_shifts_what_comes_out():
    net = make()
    x = torch.rand(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, other = net(x), net(x.roll((8, 16), (2, 3)))
    inner = np.s_[..., 56:72, 56:72]
    torch.testing.assert_close(other.roll((-8, -16), (2, 3))[inner], one[inner])


def test_power_passes_through_at_the_start():
    net = make(n_channels=48, slope=0.3)
    x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        latent = net.encoder(x)
        drawn = net.decoder(latent)
    # The layers preserve mean squares, up to random variation.
    for values in (latent, drawn):
        assert 0.2 < values[..., 2:-2, 2:-2].square().mean() < 5


@pytest.mark.parametrize("n_evidence", [0, 2])
def test_every_weight_learns(n_evidence):
    net = make(n_evidence=n_evidence).train()
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")
    frames = torch.stack([torch.cos(y * 0.8) + torch.cos(x * 0.7), torch.cos(y) * torch.cos(x)])
    # Some layers start at zero. The first step changes these, the second step all layers.
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        (net(frames[:, None]) - 1).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad.abs().max() > 0 for parameter in net.parameters())


def test_the_lattice_prior_passes_unchanged_at_initialization():
    net = make(n_evidence=2)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    frame = (torch.cos(y * 0.8) + torch.cos(x * 0.7))[None, None]
    with torch.inference_mode():
        output, seen = net(frame), net.evidence(frame)
    assert seen.shape == (1, net.evidence.n_channels, 64, 64)
    torch.testing.assert_close(seen[0, 0], frame[0, 0])
    # The initial weights make the output proportional to the sum of the moments.
    gain = output - output.mean()
    expected = seen[:, 1:4].sum(1, keepdim=True)
    assert np.corrcoef(gain.ravel(), expected.ravel())[0, 1] > 0.999


def test_agreement_distinguishes_crystal_from_vacuum():
    net = make(n_evidence=1)
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    frame = (1 + torch.cos(y * 0.8)) * (1 + torch.cos(x * 0.7)) * (x < 64)
    noise = torch.randn(128, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        agrees = net.evidence((frame + noise)[None, None])[0, 3]
    assert agrees[:, :40].mean() > 1.5 > 0.3 > agrees[:, 90:].abs().mean()


def test_it_can_overfit_one_frame():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    target = (0.5 + 0.25 * (torch.cos(y * 0.8) + torch.cos(x * 0.8)))[None, None]
    noisy = target + 0.3 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    net = make(n_channels=8, n_blocks=2).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        loss = (net(noisy) - target).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2 * target.var().item()


@pytest.mark.parametrize(
    "bad", [{"n_channels": 0}, {"n_blocks": 0}, {"slope": 1.0}, {"slope": -1}, {"n_evidence": -1}]
)
def test_bad_sizes_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        PINNED(**bad)
