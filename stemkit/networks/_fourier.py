"""Layers that work on the spectrum of feature maps, shared by SFIN and SCGN."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._convolution import Conv3x3
from ._folding import conv_norm, pointwise
from ._pooling import pooled_conv
from ._spectrum import half_spectrum

Coordinates = Literal["index", "frequency"]


class BandGate(nn.Module):
    """Predict a weight for each band of a spectrum from its mean and its maximum.

    Parameters
    ----------
    n_channels : int
        Number of bands.
    peak : bool, default=True
        Whether weights are the sum of two, one from the band's mean and one from its maximum, in
        0..2; otherwise they are computed from the mean alone and lie in 0..1.
    conv : bool, default=False
        Whether a 3x3 convolution precedes the pooling, as in the released code.
    """

    def __init__(self, n_channels: int, *, peak: bool = True, conv: bool = False) -> None:
        super().__init__()
        n_hidden = max(1, n_channels // 16)
        self.peak = peak
        self.conv = Conv3x3(n_channels, n_channels) if conv else None
        self.squeeze = nn.Linear(n_channels, n_hidden, bias=False)
        self.excite = nn.Linear(n_hidden, n_channels, bias=False)

    def forward(self, bands: Tensor) -> Tensor:
        """Return the weights (B, n_channels), of bands (B, n_channels, H, W)."""
        if self.conv is not None:
            mean, peak = pooled_conv(bands, self.conv)
        else:
            mean, peak = bands.mean((2, 3)), bands.amax((2, 3))
        weights = self._weigh(mean)
        return weights + self._weigh(peak) if self.peak else weights

    def _weigh(self, pooled: Tensor) -> Tensor:
        return torch.sigmoid(self.excite(F.relu(self.squeeze(pooled))))


class FourierUnit(nn.Module):
    """Mix the channels of each bin of a half spectrum.

    Real and imaginary parts are separate channels, the real ones first. A 1x1 convolution mixes
    them into bands, which are weighted and mixed back.

    Parameters
    ----------
    n_channels : int
        Channels of the input and the output.
    gate : BandGate, optional
        Weights the bands.
    gate_joined : bool, default=False
        Whether the gate weights the inputs of the first convolution, and these are mixed back, as
        in the paper; otherwise it weights the bands.
    recouple : bool, default=True
        Whether the bands are mixed back; otherwise they are the spectrum, as in SFIN.
    coordinates : {"index", "frequency"} or None, default=None
        Further inputs for each bin: its row and column in the half spectrum, or the absolute values
        of its two frequencies, each from 0 to 1. The rows of +f and -f differ.
    centred : bool, default=False
        Whether the mean of each channel is subtracted. With an orthonormal transform its bin grows
        with the side of the frame, while those of noise do not.
    """

    def __init__(
        self,
        n_channels: int,
        *,
        gate: BandGate | None = None,
        gate_joined: bool = False,
        recouple: bool = True,
        coordinates: Coordinates | None = None,
        centred: bool = False,
    ) -> None:
        super().__init__()
        n_joined = joined_channels(n_channels, coordinates)
        n_bands = n_joined if gate_joined else 2 * n_channels
        self.coordinates = coordinates
        self.centred = centred
        self.gate_joined = gate_joined
        self.gate = gate
        self.decouple = nn.Conv2d(n_joined, n_bands, 1, bias=False)
        self.norm = None if gate_joined else nn.BatchNorm2d(n_bands)
        self.recouple = nn.Conv2d(n_bands, 2 * n_channels, 1, bias=False) if recouple else None

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the same shape as `x`, (B, n_channels, H, W)."""
        # half precision has no Fourier transform on most devices, and too little range for it
        with torch.autocast(x.device.type, enabled=False):
            spectrum = half_spectrum(x.float(), centred=self.centred)
        joined = torch.cat((*self._positions(spectrum), spectrum.real, spectrum.imag), 1)
        bands = self._mix(joined)
        with torch.autocast(x.device.type, enabled=False):
            real, imaginary = bands.float().chunk(2, 1)
            mixed = torch.complex(real, imaginary)
            return torch.fft.irfft2(mixed, s=x.shape[2:], norm="ortho")

    def _mix(self, joined: Tensor) -> Tensor:
        if self.norm is None:
            bands = joined
            weights = self._weights(pointwise(joined, self.decouple.weight.flatten(1)))
        else:
            bands = F.relu(conv_norm(joined, self.decouple.weight, None, self.norm), inplace=True)
            weights = self._weights(bands)
        if self.recouple is None:
            return bands if weights is None else bands * weights[..., None, None]
        kernel = self.recouple.weight.flatten(1)
        # Weighting the kernel's columns equals weighting the bands, without a pass over them.
        return pointwise(bands, kernel if weights is None else kernel * weights[:, None])

    def _weights(self, bands: Tensor) -> Tensor | None:
        return None if self.gate is None else self.gate(bands)

    def _positions(self, spectrum: Tensor) -> tuple[Tensor, ...]:
        if self.coordinates is None:
            return ()
        n, _, height, width = spectrum.shape
        device = spectrum.device
        columns = torch.linspace(0, 1, width, device=device)
        if self.coordinates == "index":
            rows = torch.linspace(0, 1, height, device=device)
        else:
            # For odd widths the last column of a half spectrum is slightly below the highest
            # frequency; this is neglected, since the width is not known here.
            rows = 2 * torch.fft.fftfreq(height, device=device).abs()
        return (
            rows[:, None].expand(n, 1, height, width),
            columns.expand(n, 1, height, width),
        )


class FrequencyBranch(nn.Module):
    """A convolution, a Fourier unit, and the convolution that combines its output with the input.

    The caller applies the last one, together with the normalisation.

    Parameters
    ----------
    n_channels : int
        Channels of the input.
    unit : FourierUnit
    """

    def __init__(self, n_channels: int, unit: FourierUnit) -> None:
        super().__init__()
        self.enter = Conv3x3(n_channels, n_channels)
        self.unit = unit
        self.join = Conv3x3(2 * n_channels, n_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the channels of the input, then those of the unit."""
        return torch.cat((x, self.unit(self.enter(x))), 1)


def joined_channels(n_channels: int, coordinates: Coordinates | None) -> int:
    """Return the number of inputs of the first convolution of a `FourierUnit`."""
    return 2 * n_channels + (0 if coordinates is None else 2)
