import pytest
import torch
from torch.nn import functional as F

from stemkit.networks import _convolution
from stemkit.networks._convolution import Conv3x3, conv3x3
from stemkit.networks._folding import conv_norm, pointwise


def tensors(n=2, n_in=32, n_out=32, side=100, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (n, n_in, side, side + 3), (n_out, n_in, 3, 3), (n_out,)
    return [torch.randn(*shape, generator=generator).requires_grad_() for shape in shapes]


@pytest.fixture
def winograd(monkeypatch):
    """Take Winograd's algorithm where it is to be had at all, whatever the machine is best at."""
    if not torch.backends.nnpack.is_available():
        pytest.skip("this PyTorch has no NNPACK")
    monkeypatch.setattr(_convolution, "_winograd_is_there", lambda: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1024)


@pytest.mark.parametrize("n", [1, 2])
def test_winograd_differs_by_rounding_alone(winograd, n):
    x, kernel, bias = tensors(n)
    assert _convolution._winograd_pays(x, kernel)
    exact = F.conv2d(x.double(), kernel.double(), bias.double(), padding=1)
    found = conv3x3(x, kernel, bias)
    assert (found - exact).abs().max() < 2e-4 * exact.std()
    grad = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1))
    of_exact = torch.autograd.grad(exact, (x, kernel, bias), grad.double())
    for one, other in zip(
        torch.autograd.grad(found, (x, kernel, bias), grad), of_exact, strict=True
    ):
        assert (one - other).abs().max() < 2e-4 * other.std()


def test_gradient_of_the_input_alone(winograd):
    x, kernel, bias = tensors()
    found = conv3x3(x, kernel.detach(), bias.detach())
    expected = F.conv2d(x, kernel.detach(), bias.detach(), padding=1)
    one, other = (torch.autograd.grad(y.square().sum(), x)[0] for y in (found, expected))
    assert (one - other).abs().max() < 2e-4 * other.std()


def test_winograd_is_left_where_it_does_not_pay(winograd):
    x, kernel, _ = tensors(side=20)
    assert not _convolution._winograd_pays(x, kernel)
    x, kernel, _ = tensors(n_in=4)
    assert not _convolution._winograd_pays(x, kernel)
    x, kernel, _ = tensors()
    assert not _convolution._winograd_pays(x.double(), kernel.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert not _convolution._winograd_pays(x, kernel)


def test_number_of_threads_is_respected(monkeypatch):
    monkeypatch.setattr(_convolution, "_winograd_is_there", lambda: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 0)
    x, kernel, _ = tensors()
    assert not _convolution._winograd_pays(x, kernel)


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


def test_layer_keeps_the_size():
    assert Conv3x3(2, 3)(torch.rand(1, 2, 1, 7)).shape == (1, 3, 1, 7)
