"""Frames of any size through a network, in as few tiles and at as many at a time as will do."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .._validation import Float32Array
from ..engine import pick_device, run_tiled
from ..engine._memory import halve_until_it_fits


def denoise_tiled(
    network: nn.Module,
    inputs: Float32Array,
    tile_size: int,
    device: str,
    *,
    at_once: int,
    **settings: Any,
) -> Float32Array:
    """Give what a network makes of inputs (n, channels, H, W); settings are `run_tiled`'s.

    Frames of up to `at_once` times a tile's side are not cut.
    """
    overlap = tile_size // 8
    tile = even_tile(inputs.shape[2:], tile_size, overlap, at_once)

    def denoise(batch_size: int) -> Float32Array:
        return run_tiled(
            network,
            inputs,
            tile=tile,
            overlap=overlap,
            batch_size=batch_size,
            device=device,
            **settings,
        )

    return halve_until_it_fits(denoise, _n_tiles(pick_device(device), tile_size, tile))


def even_tile(shape: tuple[int, ...], tile: int, overlap: int, at_once: int) -> int:
    """Make tiles as small as their number allows, so that they overlap no more than they must.

    What is larger than a tile by less than the overlap is done at once.
    """
    if max(shape) <= at_once * tile:
        tile = max(tile, *shape)
    return max(2 * overlap, *(_even_length(n, tile, overlap) for n in shape))


def _even_length(length: int, tile: int, overlap: int) -> int:
    n_tiles = max(1, math.ceil((length - overlap) / tile))
    return math.ceil((length + (n_tiles - 1) * overlap) / n_tiles)


def _n_tiles(device: torch.device, usual: int, tile: int) -> int:
    """Say how many tiles to denoise at a time: on the CPU more take memory and no less time."""
    return 1 if device.type == "cpu" else min(16, 16 * usual**2 // tile**2)
