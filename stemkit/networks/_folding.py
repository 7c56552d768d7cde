"""Layers that compute and keep less than their definitions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_norm(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    norm: nn.BatchNorm2d,
    weights: Tensor | None = None,
) -> Tensor:
    """Convolve with padding, weight each pixel and normalise, in as few passes as possible.

    If the statistics are fixed, the kernels are scaled instead of the result. This is done at each
    call, which takes little time and needs no second copy of the kernels.
    """
    if norm.training:
        response = _conv(x, kernel, bias)
        return norm(response if weights is None else response * weights)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    kernel = kernel * scale[:, None, None, None]
    bias = None if bias is None else bias * scale
    if weights is None:
        bias = shift if bias is None else bias + shift
        return _conv(x, kernel, bias)
    return torch.addcmul(shift[:, None, None], _conv(x, kernel, bias), weights)


def pointwise(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Mix the channels of each pixel: a 1x1 convolution, as products of matrices.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
    kernel : Tensor of shape (C_out, C) or (B, C_out, C)
        One for all images, or one for each.
    bias : Tensor of shape (C_out,), optional
    """
    pixels = x.flatten(2)
    kernels = kernel.expand(x.shape[0], -1, -1)  # `matmul` would transpose all pixels twice
    if bias is None:
        mixed = torch.bmm(kernels, pixels)
    else:
        mixed = torch.baddbmm(bias[:, None], kernels, pixels)
    return mixed.unflatten(2, x.shape[2:])


def _conv(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    if kernel.shape[-1] == 1:
        return pointwise(x, kernel.flatten(1), bias)
    return F.conv2d(x, kernel, bias, padding=1)
