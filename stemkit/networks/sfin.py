"""The spatial-frequency interactive network: two halves that exchange what they find."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._convolution import Conv3x3
from ._folding import conv_norm
from ._fourier import FourierUnit, FrequencyBranch
from ._frame import SpatialFrequencyNet, check_widths


class SFIN(SpatialFrequencyNet):
    """Denoise with convolutions and spectra that feed each other.

    The layout, in names too, is that of the authors' code.

    Parameters
    ----------
    n_blocks : int, default=8
        Number of blocks, of two layers each.
    n_channels : int, default=64
        Channels, even: half of them spatial, half of frequencies.

    References
    ----------
    H. Li, Z. Wu, R. Shao, T. Zhang, Y. Fu, "Noise Calibration and Spatial-Frequency Interactive
    Network for STEM Image Enhancement", CVPR 2025.

    Examples
    --------
    >>> import torch
    >>> from stemkit.networks import SFIN
    >>> network = SFIN(n_blocks=1, n_channels=8).eval()
    >>> network(torch.rand(2, 1, 20, 33)).shape
    torch.Size([2, 1, 20, 33])
    """

    def __init__(self, n_blocks: int = 8, n_channels: int = 64) -> None:
        check_widths(n_blocks, n_channels)
        super().__init__(n_channels, (_Block(n_channels) for _ in range(n_blocks)))


class _Block(nn.Module):
    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(n_channels // 2) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.layers
        return second(first(x)) + x


class _Layer(nn.Module):
    def __init__(self, n_half: int) -> None:
        super().__init__()
        self.spatial = Conv3x3(n_half, n_half)
        self.frequency_to_spatial = Conv3x3(n_half, n_half)
        self.spatial_to_frequency = Conv3x3(n_half, n_half)
        unit = FourierUnit(n_half, recouple=False, coordinates="index")
        self.frequency = FrequencyBranch(n_half, unit)
        self.spatial_norm = nn.BatchNorm2d(n_half)
        self.frequency_norm = nn.BatchNorm2d(n_half)

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[1] // 2
        # Convolutions that are added are one convolution of what is joined.
        kernel, bias = _sum(self.spatial, self.frequency_to_spatial)
        spatial = conv_norm(x, kernel, bias, self.spatial_norm)
        kernel, bias = _sum(self.spatial_to_frequency, self.frequency.join)
        joined = torch.cat((x[:, :half], self.frequency(x[:, half:])), 1)
        frequency = conv_norm(joined, kernel, bias, self.frequency_norm)
        return F.relu(torch.cat((spatial, frequency), 1), inplace=True)


def _sum(first: nn.Conv2d, second: nn.Conv2d) -> tuple[Tensor, Tensor]:
    assert first.bias is not None
    assert second.bias is not None
    return torch.cat((first.weight, second.weight), 1), first.bias + second.bias
