"""Denoising stacks with a network: scaling, tiles, and means over flipped frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice, product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._constraints import reason_of, shorten
from .._validation import Float32Array
from ..engine import pick_device, run_tiled
from ..engine._memory import halve_until_it_fits
from ._sources import Scaling

N_VIEWS = 1, 4, 8


class ScaledNetwork(nn.Module):
    """A network of standardised frames, applied to frames in their own units.

    Tiles are scaled one by one, so that no scaled copy of the stack is needed.

    Parameters
    ----------
    network : nn.Module
    inputs, targets : Scaling
        Scalings that the network was trained with.
    """

    def __init__(self, network: nn.Module, inputs: Scaling, targets: Scaling) -> None:
        super().__init__()
        self.network = network
        self.inputs, self.targets = inputs, targets

    def forward(self, x: Tensor) -> Tensor:
        """Denoise (B, C, H, W)."""
        denoised = apply_network(self.network, (x - self.inputs.offset) / self.inputs.scale)
        return denoised.float() * self.targets.scale + self.targets.offset


class NetworkError(ValueError):
    """A network does not take frames of this size, or does not keep their size."""


def apply_network(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the output (n, 1, h, w) of a network for inputs (n, channels, h, w).

    Raises
    ------
    ValueError
        If the network fails, or its output is not a real tensor of that shape.
    """
    shape = tuple(x.shape)
    try:
        output = network(x)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a network of the user's own may raise anything
        raise NetworkError(
            f"The network fails on frames of shape {shape}: {reason_of(error)}."
        ) from error
    expected = (shape[0], 1, *shape[2:])
    if not isinstance(output, Tensor):
        raise ValueError(
            f"The network must return one tensor of shape {expected} for frames of shape {shape}; "
            f"it returned {shorten(output)}."
        )
    if tuple(output.shape) != expected:
        raise NetworkError(
            f"The network must return shape {expected} for frames of shape {shape}, but returned "
            f"{tuple(output.shape)}: it needs one output channel, and padding that keeps the size."
        )
    if not output.is_floating_point():
        raise ValueError(f"The network must return real numbers; it returned {output.dtype}.")
    return output


def check_finite(denoised: Float32Array) -> None:
    """Raise ValueError if a network returned NaN or inf, and name the frame."""
    for index, frame in enumerate(denoised):
        # A sum is finite only if all of its terms are: no mask as large as the stack.
        if not np.isfinite(frame.sum(dtype=np.float64)):
            raise ValueError(
                f"The network returned NaN or inf for frame {index} of X: its values are too far "
                "from those of the training frames, so rescale the frames, or the network is "
                "broken."
            )


def denoise_tiled(
    network: nn.Module,
    inputs: Float32Array,
    tile_size: int,
    device: str,
    *,
    at_once: int,
    multiple: int = 1,
    **settings: Any,
) -> Float32Array:
    """Apply a network to inputs (n, channels, H, W), in as few tiles as possible.

    Frames of up to `at_once` times a tile's side are not cut. If the network does not take tiles of
    this size, they are extended to multiples of `multiple`. `settings` are passed to `run_tiled`.
    """
    overlap = tile_size // 8
    smallest = even_tile(inputs.shape[2:], tile_size, overlap, at_once)

    def denoise(tile: int, multiple: int) -> Float32Array:
        return halve_until_it_fits(
            lambda batch_size: run_tiled(
                network,
                inputs,
                tile=tile,
                overlap=overlap,
                multiple=multiple,
                batch_size=batch_size,
                device=device,
                **settings,
            ),
            _n_tiles(pick_device(device), tile_size, tile),
        )

    try:
        return denoise(smallest, 1)
    except NetworkError:
        if multiple == 1:
            raise
    least = max(smallest, 2 * overlap, multiple + overlap)
    return denoise(multiple * math.ceil(least / multiple), multiple)


def side_multiple(network: object, tile_size: int) -> int:
    """Return what sides of tiles may have to be multiples of, for a network by name or another.

    The networks of stemkit take any side. One of a user's own may halve its input several times, as
    it can in training, where tiles have `tile_size`.
    """
    return 1 if isinstance(network, str) else math.gcd(tile_size, 32)


def even_tile(shape: tuple[int, ...], tile: int, overlap: int, at_once: int) -> int:
    """Return the smallest tile that needs no more tiles, so that they overlap the least.

    A frame that exceeds a tile by less than the overlap is denoised in one piece.
    """
    if max(shape) <= at_once * tile:
        tile = max(tile, *shape)
    return max(2 * overlap, *(_even_length(n, tile, overlap) for n in shape))


def _even_length(length: int, tile: int, overlap: int) -> int:
    n_tiles = max(1, math.ceil((length - overlap) / tile))
    return math.ceil((length + (n_tiles - 1) * overlap) / n_tiles)


def _n_tiles(device: torch.device, tile_size: int, tile: int) -> int:
    """Return the number of tiles of a batch: on a CPU more take memory and save no time."""
    return 1 if device.type == "cpu" else min(16, 16 * tile_size**2 // tile**2)


def mean_of_views(
    denoise: Callable[[Float32Array], Float32Array], frames: Float32Array, n_views: int
) -> Float32Array:
    """Average the results for frames (n, H, W) flipped both ways, and for 8 views transposed."""
    if n_views == 1:
        return denoise(frames)
    total = np.zeros(frames.shape, np.float32)
    sides = product((False, True), (1, -1), (1, -1))
    for transposed, down, right in islice(sides, n_views):
        view = (frames.swapaxes(1, 2) if transposed else frames)[:, ::down, ::right]
        denoised = denoise(np.ascontiguousarray(view))[:, ::down, ::right]
        total += denoised.swapaxes(1, 2) if transposed else denoised
    return total / np.float32(n_views)
