"""Frames of any size for networks that halve it."""

from __future__ import annotations

import torch
from torch import Tensor


def mirror_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend frames (B, C, H, W) at the bottom and the right, by their mirror image."""
    for axis in (2, 3):
        # Bit by bit, since a side may be shorter than what is missing.
        while missing := -x.shape[axis] % multiple:
            n = min(missing, x.shape[axis])
            x = torch.cat((x, x.narrow(axis, x.shape[axis] - n, n).flip(axis)), axis)
    return x
