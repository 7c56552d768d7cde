"""Convolutions with 3x3 kernels that keep the size of a frame."""

from __future__ import annotations

from torch import nn


class Conv3x3(nn.Conv2d):
    """A layer of 3x3 kernels, from (B, n_in, H, W) to (B, n_out, H, W)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, 3, padding=1)
