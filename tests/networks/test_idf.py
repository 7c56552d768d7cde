import numpy as np
import pytest
import torch

from stemkit.networks import IDF
from stemkit.networks.idf import _correlation, _neighbours


def small(**parameters):
    torch.manual_seed(0)
    return IDF(n_channels=4, n_iterations=3, **parameters).eval()


def test_colour_form_has_the_weights_of_the_paper():
    assert sum(weights.numel() for weights in IDF(image_channels=3).parameters()) == 49_021


def test_output_is_a_mean_of_the_input():
    x = torch.rand(2, 1, 12, 15, generator=torch.Generator().manual_seed(0))
    reach = 2 + 1 + 2
    out = small()(x)
    least = -torch.nn.functional.max_pool2d(-x, 2 * reach + 1, 1, reach)
    most = torch.nn.functional.max_pool2d(x, 2 * reach + 1, 1, reach)
    assert (out >= least - 1e-6).all()
    assert (out <= most + 1e-6).all()
    assert not torch.allclose(out, x, atol=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3), (5, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_constant_frames_stay_as_they_are(shape, channels):
    x = torch.full((2, channels, *shape), -3.5)
    torch.testing.assert_close(small(image_channels=channels)(x), x)


def test_strength_of_signal_and_noise_does_not_matter():
    """The input of each part of the network is scaled to a root mean square of 1."""
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(small()(30 * x), 30 * small()(x), atol=1e-3, rtol=1e-3)


def test_neighbours_are_those_of_the_frame():
    x = torch.arange(35.0).reshape(1, 1, 5, 7)
    for dilation in (1, 2):
        padded = np.pad(x[0, 0].numpy(), dilation, mode="edge")
        found = _neighbours(x, 3, dilation)[0, 0].numpy()
        for index, (dy, dx) in enumerate(np.ndindex(3, 3)):
            top, left = dilation * dy, dilation * dx
            np.testing.assert_array_equal(found[index], padded[top : top + 5, left : left + 7])


def test_correlation_of_colours_is_numpys():
    rng = np.random.default_rng(0)
    neighbours = rng.normal(size=(1, 5, 9, 2, 3)).astype(np.float32)
    found = _correlation(torch.from_numpy(neighbours))[0].numpy()
    for y, x in np.ndindex(2, 3):
        expected = np.corrcoef(neighbours[0, :, :, y, x], rowvar=False)[4]
        np.testing.assert_allclose(found[:, y, x], expected, atol=1e-5)


def test_correlation_of_greys_shows_an_edge():
    edge = torch.zeros(1, 1, 3, 3)
    edge[..., 2] = 1.0
    at_the_middle = _correlation(_neighbours(edge, 3, 1))[0, :, 1, 1].reshape(3, 3)
    assert (at_the_middle[:, :2] > 0).all()
    assert (at_the_middle[:, 2] < 0).all()


def test_steps_are_mixed_in_training_alone():
    network, x = small(), torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(network(x), network(x), atol=0, rtol=0)
    network.train()
    assert not torch.equal(network(x), network(x))


def test_gradients_are_finite_for_constant_frames():
    network = small().train()
    network(torch.zeros(2, 1, 6, 6)).square().sum().backward()
    network(torch.rand(2, 1, 6, 6)).square().sum().backward()
    for weights in network.parameters():
        assert weights.grad.isfinite().all()


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_channels": 0}, "n_channels must be an int of at least 1"),
        ({"n_iterations": 0}, "n_iterations must be an int of at least 1"),
        ({"image_channels": 0}, "image_channels must be an int of at least 1"),
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"power": 0}, "power must be a finite number above 0"),
    ],
)
def test_bad_sizes_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        IDF(**parameters)
