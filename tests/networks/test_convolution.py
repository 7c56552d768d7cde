import pytest
import torch
from torch.nn import functional as F

from stemkit.networks._convolution import Conv3x3
from stemkit.networks._folding import conv_norm, pointwise


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kernel_size, bias", [(1, False), (1, True), (3, True)])
def test_folded_normalisation_is_the_normalisation(kernel_size, weighted, bias, training):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv = torch.nn.Conv2d(3, 5, kernel_size, padding=kernel_size // 2, bias=bias)
        norm = torch.nn.BatchNorm2d(5).train(training)
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            torch.nn.init.uniform_(tensor, 0.5, 2)
        x, weights = torch.rand(2, 3, 8, 9), torch.rand(2, 5, 8, 9)
    expected = norm(conv(x) * weights if weighted else conv(x))
    found = conv_norm(x, conv.weight, conv.bias, norm, weights if weighted else None)
    torch.testing.assert_close(found, expected)


def test_pointwise_is_a_convolution_of_one_pixel():
    x, kernel = torch.rand(2, 3, 4, 5), torch.rand(2, 6, 3)
    torch.testing.assert_close(pointwise(x, kernel[0]), F.conv2d(x, kernel[0][..., None, None]))
    each = torch.cat([F.conv2d(x[i : i + 1], kernel[i][..., None, None]) for i in range(2)])
    torch.testing.assert_close(pointwise(x, kernel), each)


def test_layer_is_the_convolution_with_zeros_around_the_frame():
    layer, x = Conv3x3(2, 3), torch.rand(1, 2, 1, 7)
    expected = F.conv2d(F.pad(x, (1, 1, 1, 1)), layer.weight, layer.bias)
    assert expected.shape == (1, 3, 1, 7)
    torch.testing.assert_close(layer(x), expected)
