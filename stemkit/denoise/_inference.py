"""Denoising stacks with a network: scaling, tiles, and means over flipped frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice, product
from typing import Any

import numpy as np
import torch
from torch import nn

from .._validation import Float32Array
from ..engine import pick_device, run_tiled
from ..engine._memory import halve_until_it_fits
from ._lattice_tiles import OVERLAP, denoise_with_one_prior, has_lattice_prior
from ._scaled import NetworkError, ScaledNetwork

N_VIEWS = 1, 4, 8


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
    shape = inputs.shape[2:]
    smallest = even_tile(shape, tile_size, overlap, at_once)

    def run(
        function: nn.Module, arrays: Float32Array, tile: int, overlap: int, **more: Any
    ) -> Float32Array:
        return halve_until_it_fits(
            lambda batch_size: run_tiled(
                function,
                arrays,
                tile=tile,
                overlap=overlap,
                batch_size=batch_size,
                device=device,
                **more,
                **settings,
            ),
            _n_tiles(pick_device(device), tile_size, tile),
        )

    if is_cut(shape, tile_size, at_once) and has_lattice_prior(network):
        assert isinstance(network, ScaledNetwork)
        tile = even_tile(shape, tile_size, min(OVERLAP, tile_size // 2), at_once)
        return denoise_with_one_prior(
            network,
            inputs,
            tile,
            lambda function, arrays, overlap, margin: run(
                function, arrays, tile, overlap, margin=margin
            ),
        )

    def denoise(tile: int, multiple: int) -> Float32Array:
        return run(network, inputs, tile, overlap, multiple=multiple)

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


def is_cut(shape: tuple[int, ...], tile_size: int, at_once: int) -> bool:
    """Return whether `denoise_tiled` cuts frames of a shape into tiles."""
    return even_tile(shape, tile_size, tile_size // 8, at_once) < max(shape)


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
