"""3x3 convolutions, by Winograd's algorithm where that takes less time than the direct way."""

from __future__ import annotations

import functools
import os
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Below either, the transforms cost more than they save.
_LEAST_PRODUCTS = 8_000_000
_LEAST_CHANNELS = 24


class Conv3x3(nn.Conv2d):
    """A layer of 3x3 kernels that keeps the size of what comes in."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, n_in, H, W) to (B, n_out, H, W)."""
        assert self.bias is not None
        return conv3x3(x, self.weight, self.bias)


def conv3x3(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Convolve with 3x3 kernels and keep the size; differs from `F.conv2d` by rounding alone."""
    if _winograd_pays(x, kernel):
        return _Winograd.apply(x, kernel, bias)
    return F.conv2d(x, kernel, bias, padding=1)


def _winograd_pays(x: Tensor, kernel: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == kernel.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x[0, 0].numel() * kernel.shape[0] * kernel.shape[1] >= _LEAST_PRODUCTS
        and min(kernel.shape[:2]) >= _LEAST_CHANNELS
        and _winograd_is_there()
        # NNPACK keeps threads of its own, one a core, whatever torch was told to use
        and torch.get_num_threads() >= len(os.sched_getaffinity(0))
    )


@functools.cache
def _winograd_is_there() -> bool:
    """Say whether to ask NNPACK, which PyTorch carries, for a fifth of the multiplications.

    With AVX-512 the direct convolutions that PyTorch takes by default are the faster ones.
    """
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX2"
        and hasattr(torch, "_nnpack_spatial_convolution")
        and hasattr(os, "sched_getaffinity")
        and torch.backends.nnpack.is_available()
    )


class _Winograd(torch.autograd.Function):
    """The convolution, and its gradient by the input, which is one too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, kernel)
        return _convolve(x, kernel, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, kernel = ctx.saved_tensors
        of_x = None
        if ctx.needs_input_grad[0]:
            turned = kernel.flip(2, 3).transpose(0, 1).contiguous()
            of_x = _convolve(grad, turned, grad.new_zeros(x.shape[1]))
        if not any(ctx.needs_input_grad[1:]):
            return of_x, None, None
        _, of_kernel, of_bias = torch.ops.aten.convolution_backward(
            grad, x, kernel, [len(kernel)], [1, 1], [1, 1], [1, 1], False, [0, 0], 1,
            [False, True, True],
        )  # fmt: skip
        return of_x, of_kernel, of_bias


def _convolve(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    # one by one: for several images NNPACK has another way, that is slower and needs more memory
    convolved = [
        torch._nnpack_spatial_convolution(image.contiguous()[None], kernel, bias, [1, 1], [1, 1])
        for image in x
    ]
    return convolved[0] if len(convolved) == 1 else torch.cat(convolved)
