import pytest
import torch

from stemkit.networks._spectrum import half_spectrum


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 4), (4, 3), (5, 5), (6, 8)])
def test_gradient_is_that_of_the_transform(shape, centred):
    x = torch.randn(2, 3, *shape, dtype=torch.float64, requires_grad=True)
    found = half_spectrum(x, centred=centred)
    torch.testing.assert_close(
        found, torch.fft.rfft2(x - centred * x.mean((2, 3), keepdim=True), norm="ortho")
    )
    assert torch.autograd.gradcheck(lambda x: half_spectrum(x, centred=centred), x)
