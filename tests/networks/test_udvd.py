import pytest
import torch

from stemkit.networks import UDVD


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return UDVD(n_channels=3).double().eval()


def frames(shape=(13, 10), n=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 5, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(9, 6), (4, 8)])
def test_no_pixel_is_seen_by_itself(network, shape):
    """No output pixel depends on its input pixel, only on its neighbours in all frames."""
    x = frames(shape).requires_grad_()
    out = network(x)[0, 0]
    for y in range(shape[0]):
        for column in range(shape[1]):
            (slope,) = torch.autograd.grad(out[y, column], x, retain_graph=True)
            assert (slope[0, :, y, column] == 0).all()
            near = slope[0, :, max(y - 1, 0) : y + 2, max(column - 1, 0) : column + 2]
            assert (near != 0).sum() == 5 * (near[0].numel() - 1)


def test_what_is_turned_comes_out_turned():
    """With the same 1x1 weights for all sides, rotated frames give rotated results."""
    torch.manual_seed(0)
    network = UDVD(n_channels=3).double().eval()
    first = network.head[0].weight
    n = first.shape[1] // 4
    with torch.no_grad():
        first.copy_(first[:, :n].repeat(1, 4, 1, 1))
    x = frames((8, 12))
    turned = network(torch.rot90(x, 1, (2, 3)))
    torch.testing.assert_close(turned, torch.rot90(network(x), 1, (2, 3)))


def test_time_has_a_direction(network):
    x = frames()
    assert not torch.allclose(network(x), network(x.flip(1)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2), (17, 30)])
def test_frames_of_any_size(network, shape):
    out = network(frames(shape, n=2))
    assert out.shape == (2, 1, *shape)
    assert out.isfinite().all()


def test_sizes_are_those_of_the_authors():
    """In both U-Nets the 3x3 kernels have 48 channels in encoders and 96 in decoders."""

    def u_net(n_in, n_out):
        pairs = [(n_in, 48), (48, 48), (48, 48)]
        pairs += [(48, 48)] * 3 + [(48, 96), (96, 96), (96, 48)]
        pairs += [(96, 96)] * 4
        pairs += [(96 + n_in, 96), (96, 96), (96, 96), (96, n_out)]
        return 9 * sum(a * b for a, b in pairs)

    expected = u_net(3, 32) + u_net(96, 96) + 384 * 384 + 384 * 96 + 96
    assert sum(weights.numel() for weights in UDVD().parameters()) == expected


def test_too_few_channels():
    with pytest.raises(ValueError, match="n_channels must be an int of at least 3"):
        UDVD(n_channels=2)
