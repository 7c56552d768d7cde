"""The Fourier transform of real maps, with a gradient of the same cost."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def half_spectrum(x: Tensor, *, centred: bool = False) -> Tensor:
    """Return the orthonormal ``rfft2`` of real maps.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
    centred : bool, default=False
        Whether the mean of each map is subtracted.

    Returns
    -------
    Tensor of shape (B, C, H, W // 2 + 1), complex

    Notes
    -----
    PyTorch computes the gradient by the full complex transform of a spectrum half of which is 0.
    Its real part is the real transform of the half spectrum in which the bins that represent two
    frequencies are halved.
    """
    return _HalfSpectrum.apply(x, centred)


class _HalfSpectrum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, centred: bool) -> Tensor:
        ctx.shape, ctx.centred = x.shape, centred
        spectrum = torch.fft.rfft2(x, norm="ortho")
        if centred:
            spectrum[..., 0, 0] = 0
        return spectrum

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        *_, height, width = ctx.shape
        shares = torch.ones(grad.shape[-1], device=grad.device)
        shares[1 : (width + 1) // 2] = 0.5
        halved = grad * shares
        if ctx.centred:
            halved[..., 0, 0] = 0
        return torch.fft.irfft2(halved, s=(height, width), norm="ortho"), None
