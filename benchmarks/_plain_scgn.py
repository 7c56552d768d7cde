"""The released SCGN, written layer by layer without optimisations, as a reference for stemkit's.

Attributes have the names of the authors' code, so that the authors' weights load unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Deviation(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.register_buffer("mean_kernel", torch.full((n, 1, 3, 3), 1 / 9))

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        mean = F.conv2d(padded, self.mean_kernel, groups=x.shape[1])
        square = F.conv2d(padded**2, self.mean_kernel, groups=x.shape[1])
        return torch.sqrt(torch.clamp(square - mean**2, min=1e-5))


class Gate(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n, n, 3, padding=1)
        self.fc = nn.Sequential(
            nn.Conv2d(n, n // 16, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(n // 16, n, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.fc(F.adaptive_avg_pool2d(x, 1)) + self.fc(F.adaptive_max_pool2d(x, 1))


class Fourier(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * n + 2, 2 * n, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * n)
        self.channel_attn = Gate(2 * n)
        self.conv_layer2 = nn.Conv2d(2 * n, 2 * n, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, n, height, width = x.shape
        spectrum = torch.fft.rfft2(x, norm="ortho")
        parts = torch.stack((spectrum.real, spectrum.imag), -1).permute(0, 1, 4, 2, 3)
        parts = parts.reshape(b, 2 * n, *spectrum.shape[2:])
        shape = (b, 1, *spectrum.shape[2:])
        rows = torch.linspace(0, 1, shape[2])[:, None].expand(shape)
        columns = torch.linspace(0, 1, shape[3]).expand(shape)
        bands = torch.relu(self.bn(self.conv_layer(torch.cat((rows, columns, parts), 1))))
        mixed = self.conv_layer2(bands * self.channel_attn(bands))
        mixed = mixed.reshape(b, n, 2, *shape[2:]).permute(0, 1, 3, 4, 2).contiguous()
        return torch.fft.irfft2(torch.view_as_complex(mixed), s=(height, width), norm="ortho")


class FrequencyHalf(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n, n, 3, padding=1)
        self.fu = Fourier(n)
        self.conv2 = nn.Conv2d(2 * n, n, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(torch.cat((x, self.fu(self.conv1(x))), 1))


class Halves(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.convl2l = nn.Conv2d(n, n, 3, padding=1)
        self.conv1 = nn.Conv2d(n, n, 1, bias=False)
        self.std = Deviation(n)
        self.convg2g = FrequencyHalf(n)

    def forward(self, spatial: Tensor, frequency: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.sigmoid(self.conv1(self.std(spatial)))
        return self.convl2l(spatial) * weights, self.convg2g(frequency)


class Layer(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.ffc = Halves(n)
        self.bn_l = nn.BatchNorm2d(n)
        self.bn_g = nn.BatchNorm2d(n)

    def forward(self, spatial: Tensor, frequency: Tensor) -> tuple[Tensor, Tensor]:
        spatial, frequency = self.ffc(spatial, frequency)
        return torch.relu(self.bn_l(spatial)), torch.relu(self.bn_g(frequency))


class Block(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv1 = Layer(n // 2)
        self.conv2 = Layer(n // 2)
        self.fuse = nn.Conv2d(n, n, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = x.chunk(2, 1)
        spatial, frequency = self.conv2(*self.conv1(*first))
        return self.fuse(torch.cat((spatial + first[0], frequency + first[1]), 1))


class PlainSCGN(nn.Module):
    def __init__(self, n_blocks: int = 8, n_channels: int = 64) -> None:
        super().__init__()
        self.head_conv = nn.Conv2d(1, n_channels, 3, padding=1)
        self.body = nn.Sequential(*[Block(n_channels) for _ in range(n_blocks)])
        self.tail_conv = nn.Conv2d(n_channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        head = self.head_conv(x)
        return self.tail_conv(self.body(head) + head)
