"""Local statistics of feature maps."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

_EPSILON = 1e-5


def local_deviation(x: Tensor, floor: Literal["add", "clamp"] = "add") -> Tensor:
    """Standard deviation of each pixel's 3x3 neighbourhood, channel by channel.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
    floor : {"add", "clamp"}, default="add"
        How the square root is kept above 0: 1e-5 is added to the variance, as in the paper, or is
        its lowest value, as in the released code.

    Returns
    -------
    Tensor of shape (B, C, H, W)
        In single precision at least.

    Notes
    -----
    Edges are mirrored. The variance is E[x^2] - E[x]^2 of each channel after its mean was
    subtracted: with a mean of 100 a deviation of 0.01 would be lost in float32.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        # Neither the result nor its gradient depends on the constant.
        centred = _mirror(x - x.detach().mean((2, 3), keepdim=True))
        n_channels = x.shape[1]
        window = x.new_full((n_channels, 1, 3, 3), 1 / 9)
        mean = F.conv2d(centred, window, groups=n_channels)
        variance = F.conv2d(centred.square(), window, groups=n_channels).addcmul(
            mean, mean, value=-1
        )
        if floor == "clamp":
            return variance.clamp(min=_EPSILON).sqrt_()
        return variance.clamp_(min=0).add_(_EPSILON).sqrt_()


def _mirror(x: Tensor) -> Tensor:
    """Add a pixel on each side; a side of one pixel has no neighbour and is repeated."""
    height, width = x.shape[2:]
    if min(height, width) > 1:
        return F.pad(x, (1, 1, 1, 1), mode="reflect")
    x = F.pad(x, (1, 1, 0, 0), mode="reflect" if width > 1 else "replicate")
    return F.pad(x, (0, 0, 1, 1), mode="reflect" if height > 1 else "replicate")
