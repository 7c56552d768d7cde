"""Variants of SCGN that are not in its paper, for the benchmark of SCGN."""

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
from stemkit.engine import Source, StreamSource
from stemkit.networks import SCGN

_EPSILON = 1e-5


class AveragedSCGN(SCGNDenoiser):
    """SCGN that also keeps a moving average of its weights over about the last tenth of steps."""

    def _criterion(self) -> Callable[..., Any]:
        loss = super()._criterion()
        mean = get_ema_multi_avg_fn(1 - 10 / (self.max_epochs * self.steps_per_epoch))
        self.averaged_ = AveragedModel(self.module_, multi_avg_fn=mean, use_buffers=True)

        def measure(output: Tensor, target: Tensor) -> Any:
            self.averaged_.update_parameters(self.module_)
            return loss(output, target)

        return measure


class LargerCropsSCGN(SCGNDenoiser):
    """SCGN that trains on crops, and on larger crops in the last quarter of the steps.

    Frames to denoise are larger than crops, so the frequencies of their spectra are closer.
    """

    def _source_maker(self, X: Any, y: Any, seed: int, *, reset: bool) -> Callable[[int], Source]:
        crops, larger = (
            StreamSource(make, steps_per_epoch=self.steps_per_epoch, random_state=seed)
            for make in X
        )
        change = self.max_epochs * self.steps_per_epoch * 3 // 4
        source = _TwoSources(crops, larger, change)
        return lambda batch_size: source


class ConstantRateSCGN(SCGNDenoiser):
    """SCGN with a constant learning rate, as the authors train it."""

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
    """Weights of pixels computed from the local deviation and the third and fourth moment."""

    def __init__(self, n_channels: int) -> None:
        super().__init__(3 * n_channels, n_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        guidance = torch.cat((local_deviation(x), *higher_moments(x)), 1)
        return super().forward(guidance).sigmoid_()


def local_deviation(x: Tensor) -> Tensor:
    """Return the standard deviation of the 3x3 neighbourhood of each pixel."""
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        # The deviation does not depend on the mean, which would cost digits.
        x = x - x.detach().mean((2, 3), keepdim=True)
        variance = _box(x.square()) - _box(x).square()
        return (variance.clamp(min=0) + _EPSILON).sqrt()


def higher_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the local third and fourth moment, divided by the variance, in units of x.

    The difference E[x^3] - 3 E[x] E[x^2] + 2 E[x]^3 is lost to rounding in single precision if the
    mean is 3 and the deviation 0.01. So the mean of its 3x3 neighbourhood is first subtracted from
    each pixel, and the moments are averages of powers of this residual.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        residual = x - _box(x)
        square = residual.square()
        powers = torch.cat((square, square * residual, square.square()), 1)
        second, third, fourth = _box(powers).chunk(3, 1)
        variance = second + _EPSILON
        return third / variance, (fourth / variance + _EPSILON).sqrt()


def _box(x: Tensor) -> Tensor:
    window = x.new_full((x.shape[1], 1, 3, 3), 1 / 9)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), window, groups=x.shape[1])


def _extended(x: Tensor, multiple: int) -> Tensor:
    """Mirror frames at the bottom and the right until their sides are multiples of a number."""
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="reflect")


class MomentSCGN(SCGN):
    """SCGN guided by the third and fourth local moment and the local deviation."""

    def __init__(self, n_blocks: int, n_channels: int) -> None:
        super().__init__(n_blocks, n_channels)
        for block in self.blocks:
            for layer in block.layers:
                layer.weigh = MomentWeights(n_channels // 2)


class UnshuffledNet(SCGN):
    """SCGN at half the resolution, where the four pixels of each 2 x 2 square are four channels.

    With 1.5 times the channels it needs half the operations of SCGN, about as many as a U-Net.
    """

    def __init__(self, n_blocks: int, n_channels: int) -> None:
        super().__init__(n_blocks, n_channels * 3 // 2)
        self.head = nn.Conv2d(4, n_channels * 3 // 2, 3, padding=1)
        self.tail = nn.Conv2d(n_channels * 3 // 2, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        halved = F.pixel_unshuffle(_extended(x, 2), 2)
        return F.pixel_shuffle(super().forward(halved), 2)[..., :height, :width]


class UnshuffledSCGN(SCGNDenoiser):
    """Denoiser with UnshuffledNet."""

    _network = UnshuffledNet
    _network_takes = ("n_blocks", "n_channels")


class _Dilated(nn.Module):
    """A block applied to pixels `step` px apart: to each of step x step subsampled images."""

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
    """SCGN with dilated blocks of decreasing step, and as many weights and operations."""

    steps = (8, 4, 2, 1)

    def __init__(self, n_blocks: int, n_channels: int) -> None:
        super().__init__(n_blocks, n_channels)
        self.blocks = nn.Sequential(
            *(
                _Dilated(block, step)
                for block, step in zip(self.blocks, itertools.cycle(self.steps))
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        return super().forward(_extended(x, max(self.steps)))[..., :height, :width]


class WideViewSCGN(SCGNDenoiser):
    """Denoiser with WideViewNet."""

    _network = WideViewNet
    _network_takes = ("n_blocks", "n_channels")


class HigherMomentsSCGN(SCGNDenoiser):
    """Denoiser with MomentSCGN."""

    _network = MomentSCGN
    _network_takes = ("n_blocks", "n_channels")
