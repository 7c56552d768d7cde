"""SCGN with what its paper does not have, tried in the benchmark beside it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Self
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stemkit.denoise import SCGNDenoiser
from stemkit.denoise._sources import source_of_stream
from stemkit.engine import Source
from stemkit.networks import SCGN
from stemkit.networks._convolution import Conv3x3
from stemkit.networks._folding import pointwise
from stemkit.networks._padding import mirror_to_multiple
from stemkit.networks._statistics import _mirror, local_deviation

_EPSILON = 1e-5


class AveragedSCGN(SCGNDenoiser):
    """SCGN with a moving average of its weights beside them, over the last tenth of its steps."""

    def _criterion(self) -> Callable[..., Any]:
        loss = super()._criterion()
        mean = get_ema_multi_avg_fn(1 - 10 / (self.max_epochs * self.steps_per_epoch))
        self.averaged_ = AveragedModel(self.module_, multi_avg_fn=mean, use_buffers=True)

        def measure(output: Tensor, target: Tensor) -> Any:
            self.averaged_.update_parameters(self.module_)
            return loss(output, target)

        return measure


class LargerCropsSCGN(SCGNDenoiser):
    """SCGN that learns from two streams: crops, and for the last quarter of its steps larger ones.

    Frames to be denoised are larger than crops, and have finer spectra.
    """

    def _source_maker(self, X: Any, y: Any, seed: int, *, reset: bool) -> Callable[[int], Source]:
        crops, larger = (source_of_stream(make, self.steps_per_epoch, seed) for make in X)
        change = self.max_epochs * self.steps_per_epoch * 3 // 4
        source = _TwoSources(crops, larger, change)
        return lambda batch_size: source


class ConstantRateSCGN(SCGNDenoiser):
    """SCGN with a rate that neither rises nor falls, as the authors' hundred epochs have it."""

    def fit(self, X: Any, y: Any = None) -> Self:
        def constant(step: int, *, lr: float, **schedule: int) -> float:
            return lr

        with mock.patch("stemkit.engine.training.learning_rate", constant):
            return super().fit(X, y)


class _TwoSources:
    def __init__(self, first: Source, second: Source, change: int) -> None:
        self.sources = first, second
        self.change = change
        self.steps_per_epoch = first.steps_per_epoch

    def batch(self, step: int) -> tuple[Tensor, ...]:
        return self.sources[step >= self.change].batch(step)


class MomentWeights(nn.Conv2d):
    """Say how much each pixel of each channel counts, from deviation, third and fourth moment."""

    def __init__(self, n_channels: int) -> None:
        super().__init__(3 * n_channels, n_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        guidance = torch.cat((local_deviation(x), *higher_moments(x)), 1)
        return pointwise(guidance, self.weight.flatten(1)).sigmoid_()


def higher_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Third and fourth moment of each pixel's neighbourhood, over its variance, in units of x.

    E[x^3] - 3 E[x] E[x^2] + 2 E[x]^3 would cancel: about a level of 3 single precision leaves
    nothing of a deviation of 0.01. So moments are taken of what each pixel differs by from the mean
    of its own 3x3 neighbourhood: they need nothing taken off.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        rest = x - _box(x)
        square = rest.square()
        second, third, fourth = _box(torch.cat((square, square * rest, square.square()), 1)).chunk(
            3, 1
        )
        variance = second + _EPSILON
        return third / variance, (fourth / variance + _EPSILON).sqrt()


def _box(x: Tensor) -> Tensor:
    window = x.new_full((x.shape[1], 1, 3, 3), 1 / 9)
    return F.conv2d(_mirror(x), window, groups=x.shape[1])


class MomentSCGN(SCGN):
    """SCGN with higher moments beside the local deviation."""

    def __init__(self, n_blocks: int, n_channels: int) -> None:
        super().__init__(n_blocks, n_channels)
        for block in self.blocks:
            for layer in block.layers:
                layer.weigh = MomentWeights(n_channels // 2)


class UnshuffledNet(SCGN):
    """SCGN that sees half the side: the four pixels of a square are channels.

    With one and a half times the channels it does half the sums, about as many as a U-Net.
    """

    def __init__(self, n_blocks: int, n_channels: int) -> None:
        super().__init__(n_blocks, n_channels * 3 // 2)
        self.head = Conv3x3(4, n_channels * 3 // 2)
        self.tail = Conv3x3(n_channels * 3 // 2, 4)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        halved = F.pixel_unshuffle(mirror_to_multiple(x, 2), 2)
        return F.pixel_shuffle(super().forward(halved), 2)[..., :height, :width]


class UnshuffledSCGN(SCGNDenoiser):
    """SCGN with that network."""

    _network = UnshuffledNet
    _network_takes = ("n_blocks", "n_channels")


class _Apart(nn.Module):
    """A block that sees pixels so many px apart: the images that they make, each for itself."""

    def __init__(self, block: nn.Module, step: int) -> None:
        super().__init__()
        self.block = block
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        size, phases = x.shape[:2], self.step**2
        parts = F.pixel_unshuffle(x, self.step).unflatten(1, (size[1], phases))
        parts = self.block(parts.transpose(1, 2).flatten(0, 1))
        parts = parts.unflatten(0, (size[0], phases)).transpose(1, 2).flatten(1, 2)
        return F.pixel_shuffle(parts, self.step)


class WideViewNet(SCGN):
    """SCGN whose blocks see a wide view first, with as many weights and sums."""

    steps = (8, 4, 2, 1)

    def __init__(self, n_blocks: int, n_channels: int) -> None:
        super().__init__(n_blocks, n_channels)
        self.blocks = nn.Sequential(
            *(_Apart(block, step) for block, step in zip(self.blocks, itertools.cycle(self.steps)))
        )

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        return super().forward(mirror_to_multiple(x, max(self.steps)))[..., :height, :width]


class WideViewSCGN(SCGNDenoiser):
    """SCGN with that network."""

    _network = WideViewNet
    _network_takes = ("n_blocks", "n_channels")


class HigherMomentsSCGN(SCGNDenoiser):
    """SCGN with that network."""

    _network = MomentSCGN
    _network_takes = ("n_blocks", "n_channels")
