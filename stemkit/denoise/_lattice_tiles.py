"""PINNED's lattice prior for frames of many tiles, the same on both sides of their borders.

The network gets from each frame its mean, what its histogram predicts, and its periodic part. If
each tile had its own, a tile that is half bright and its neighbour would get different results for
the same pixels. So mean and histogram are those of the whole frame. The periodic part is determined
in windows that overlap by half, so that grains have their own lattice, and changes from each to the
next over the whole overlap. A particle on vacuum is not periodic, but has more power than its
lattice; so what varies slowly is subtracted first, and added to the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from .._validation import Float32Array
from ..networks.pinned import PINNED, LatticePrior, bin_counts, roots_of_counts
from ._scaled import ScaledNetwork

# Overlap of the tiles in px, of which three eighths are not used: half of the squares in which the
# frame is compared with its periodic part.
OVERLAP = 64
# Standard deviation in px of the Gaussian that tells slow variations from lattices: what it leaves
# of a period of 60 px is 4 %.
_SLOW = 24.0
_VALUES_AT_ONCE = 2**20

RunTiles = Callable[[nn.Module, Float32Array, int, float], Float32Array]


def has_lattice_prior(network: nn.Module) -> bool:
    """Return whether a network is a PINNED that is given the periodic part of each frame."""
    inner = network.network if isinstance(network, ScaledNetwork) else network
    return isinstance(inner, PINNED) and inner.evidence is not None


def denoise_with_one_prior(
    network: ScaledNetwork, frames: Float32Array, tile: int, run: RunTiles
) -> Float32Array:
    """Denoise frames (n, 1, H, W) in tiles; each frame has one mean and one histogram.

    `run` applies a module to images in tiles, with an overlap in px and the share of it that is not
    used on either side.
    """
    out = np.empty(frames.shape, np.float32)
    for denoised, frame in zip(out, frames, strict=True):
        mean, counts = _statistics(network, frame)
        periodic = run(_PeriodicPart(network), frame[np.newaxis], tile // 2, 0.0)
        power = float(np.mean(np.square(periodic[:, 0]), dtype=np.float64))
        expected = roots_of_counts(counts, frame.size)
        module = _WithPrior(network, mean, expected, power)
        both = np.concatenate([frame[np.newaxis], periodic], axis=1)
        denoised[:] = run(module, both, min(OVERLAP, tile // 2), 0.375)[0]
    return out


def slow_variation(frames: Float32Array) -> Float32Array:
    """Return how the level varies over frames (n, H, W), with a mean of zero."""
    slow = np.stack([ndimage.gaussian_filter(frame, _SLOW) for frame in frames])
    varied: Float32Array = slow - slow.mean((1, 2), keepdims=True, dtype=np.float64).astype("f4")
    return varied


class _PeriodicPart(nn.Module):
    """From frames to the periodic parts of their versions."""

    def __init__(self, network: ScaledNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return _prior(self.network).periodic(self.network.scaled(x))


class _WithPrior(nn.Module):
    """From a frame and its periodic parts to the denoised frame."""

    def __init__(
        self, network: ScaledNetwork, mean: float, histogram: Tensor, power: float
    ) -> None:
        super().__init__()
        self.network = network
        self.mean, self.histogram, self.power = mean, histogram, power

    def forward(self, x: Tensor) -> Tensor:
        prior = _prior(self.network)
        frame, periodic = self.network.scaled(x[:, :1]), x[:, 1:]
        with torch.autocast(x.device.type, enabled=False):
            expected = prior.expect(self.histogram.to(x.device)).expand(len(x), -1)
        mean, power = (x.new_full((len(x), 1), value) for value in (self.mean, self.power))
        inputs = prior.inputs(frame, periodic, mean, expected, power)
        decoded: Any = self.network.network.decode
        return self.network.unscaled(decoded(inputs))


def _prior(network: ScaledNetwork) -> LatticePrior:
    prior = network.network.evidence
    assert isinstance(prior, LatticePrior)
    return prior


def _statistics(network: ScaledNetwork, frame: Float32Array) -> tuple[float, Tensor]:
    """Return the mean of a standardised frame (1, H, W), and its counts in bins (1, n)."""
    total, counts = 0.0, torch.zeros(())
    for rows in _rows(frame):
        scaled = network.scaled(torch.from_numpy(rows))
        total += float(scaled.sum(dtype=torch.float64))
        counts = counts + bin_counts(scaled[np.newaxis])
    return total / frame.size, counts


def _rows(frame: Float32Array) -> Iterator[Float32Array]:
    """Return a frame in parts of whole rows, of limited size."""
    step = max(1, _VALUES_AT_ONCE // frame.shape[2])
    for first in range(0, frame.shape[1], step):
        yield np.ascontiguousarray(frame[:, first : first + step])
