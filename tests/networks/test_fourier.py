import math

import pytest
import torch
from torch.nn import functional as F

from stemkit.networks._fourier import BandGate, FourierUnit
from stemkit.networks._pooling import pooled_conv


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 6), (5, 1), (1, 1), (2, 2)])
def test_mean_and_peak_are_those_of_the_convolution(size):
    conv = seeded(lambda: torch.nn.Conv2d(3, 4, 3, padding=1).double())
    x = noise(2, 3, *size).double().requires_grad_()
    mean, peak = pooled_conv(x, conv)
    response = conv(x)
    torch.testing.assert_close(mean, response.mean((2, 3)))
    torch.testing.assert_close(peak, response.amax((2, 3)))
    with torch.no_grad():
        torch.testing.assert_close(pooled_conv(x, conv), (mean, peak))


def test_gradients_are_those_of_the_convolution():
    conv = seeded(lambda: torch.nn.Conv2d(3, 4, 3, padding=1).double())
    x = noise(2, 3, 6, 9).double().requires_grad_()
    weights = noise(2, 2, 4, seed=1).double()
    inputs = [x, conv.weight, conv.bias]

    def gradients(mean, peak):
        return torch.autograd.grad((weights * torch.stack((mean, peak))).sum(), inputs)

    response = conv(x)
    expected = gradients(response.mean((2, 3)), F.adaptive_max_pool2d(response, 1)[..., 0, 0])
    torch.testing.assert_close(gradients(*pooled_conv(x, conv)), expected)


def identity_unit(n_channels, **settings):
    """A unit that returns the positive parts of a spectrum."""
    unit = FourierUnit(n_channels, **settings).eval()
    with torch.no_grad():
        for conv in (unit.decouple, unit.recouple):
            if conv is not None:
                conv.weight.zero_()
                n = min(conv.weight.shape[:2])
                conv.weight[range(-n, 0), range(-n, 0)] = 1
    return unit


@pytest.mark.parametrize("size", [(16, 16), (15, 13), (1, 8), (8, 1), (1, 1)])
@pytest.mark.parametrize("coordinates", ["index", "frequency", None])
def test_unit_keeps_the_positive_parts_of_a_spectrum(size, coordinates):
    x = noise(2, 3, *size)
    unit = identity_unit(3, coordinates=coordinates)
    spectrum = torch.fft.rfft2(x, norm="ortho")
    kept = torch.complex(spectrum.real.relu(), spectrum.imag.relu())
    expected = torch.fft.irfft2(kept, s=size, norm="ortho") / math.sqrt(1 + unit.norm.eps)
    torch.testing.assert_close(unit(x), expected, atol=1e-5, rtol=1e-5)


def test_a_constant_level_does_not_affect_a_centred_unit():
    unit = seeded(lambda: FourierUnit(4, gate=BandGate(8), centred=True).eval())
    x = noise(2, 4, 16, 12)
    torch.testing.assert_close(unit(x + 50), unit(x), atol=1e-4, rtol=0)


def test_weights_depend_on_the_size_of_the_frame_only_where_spectra_are_not_centred():
    """The input is noise around a level of 100."""
    spread = {}
    for centred in (False, True):
        unit = seeded(lambda c=centred: FourierUnit(8, gate=BandGate(16), centred=c).eval())
        with torch.no_grad():
            unit.decouple.weight.normal_(generator=torch.Generator().manual_seed(1))
            unit.gate.squeeze.weight.fill_(0.02)
            unit.gate.excite.weight.normal_(generator=torch.Generator().manual_seed(3))
        found = []
        unit.gate.register_forward_hook(lambda *args, found=found: found.append(args[2]))
        with torch.inference_mode():
            for side in (64, 256):
                unit(100 + noise(1, 8, side, side))
        spread[centred] = (found[0] - found[1]).abs().max()
    assert spread[True] < 0.05
    assert spread[False] > 5 * spread[True]


def test_frequencies_have_the_same_code_in_any_frame_and_either_direction():
    unit = FourierUnit(1, coordinates="frequency")
    small, large = (unit._positions(torch.zeros(1, 1, n, n // 2 + 1)) for n in (16, 64))
    for one, other in zip(small, large, strict=True):
        # frequencies +f, then -f, for frames of which one has four times as many
        torch.testing.assert_close(one[0, 0, :8], other[0, 0, :32:4, ::4])
        torch.testing.assert_close(one[0, 0, 1:], one[0, 0, 1:].flip(0))
        assert one.min() == 0
        assert one.max() == 1
    torch.testing.assert_close(small[0][0, 0, :9, 0], small[1][0, 0, 0])


def test_weights_of_both_pools_are_added_and_lie_below_two():
    gate = seeded(lambda: BandGate(32))
    bands = noise(3, 32, 9, 5).abs()
    both = gate(bands)
    gate.peak = False
    alone = gate(bands)
    assert ((both > alone) & (both < 2) & (alone > 0) & (alone < 1)).all()
