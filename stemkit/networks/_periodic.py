"""The periodic part of frames: their projection on the harmonics of their lattice."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._reciprocal import MAX_FREQUENCY, find_reciprocal, half_plane

_MAX_HARMONICS = 150
_MAX_ORDER = 16
# Harmonics of less power, relative to the noise, are left out; the noise's share is removed
# from the others.
_MIN_POWER = 4.0
_SHRINK = 2.0


def periodic_part(frames: Tensor, guide: Tensor) -> Tensor:
    """Return the part of frames that is periodic on the lattice of a guide.

    Parameters
    ----------
    frames : Tensor of shape (C, H, W)
        Versions of one frame. Gradients pass through them.
    guide : Tensor of shape (H, W)
        The version in whose spectrum the lattice is determined.

    Returns
    -------
    Tensor of shape (C, H, W)
        With a mean of about zero; zero if there is no lattice.
    """
    found = find_reciprocal(guide - guide.mean())
    if found is None:
        return torch.zeros_like(frames)
    height, width = frames.shape[1:]
    frames = frames - frames.mean((1, 2), keepdim=True)
    harmonics = half_plane(_MAX_ORDER, frames.device).to(frames.dtype) @ found.basis
    distance = harmonics.norm(dim=1)
    order = distance.argsort()[:_MAX_HARMONICS]
    harmonics = harmonics[order][distance[order] < MAX_FREQUENCY]
    along_y, along_x = _waves(harmonics, height, width)
    coefficients = _coefficients(frames, along_y, along_x)
    with torch.no_grad():
        power = coefficients.abs().square() / _noise_power(frames)[:, None]
        strong = (power > _MIN_POWER).any(0)
        gain = torch.where(power > _MIN_POWER, 1 - _SHRINK / power, 0.0)[:, strong]
    if not strong.any():
        return torch.zeros_like(frames)
    along_y, along_x, coefficients = along_y[:, strong], along_x[:, strong], coefficients[:, strong]
    amplitude = _unmix(coefficients, harmonics[strong], height, width) * gain
    # One of two opposite harmonics is enough; the other is its complex conjugate.
    half = torch.einsum("yk,ck,xk->cyx", along_y, amplitude, along_x)
    return 2 * half.real


def _waves(harmonics: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return exp(2 pi i f y) and exp(2 pi i f x), (H, K) and (W, K)."""
    y, x = (torch.arange(n, device=harmonics.device, dtype=torch.float64) for n in (height, width))
    turns = torch.outer(y, harmonics[:, 0].double()), torch.outer(x, harmonics[:, 1].double())
    along_y, along_x = (torch.exp(2j * math.pi * turn).to(torch.complex64) for turn in turns)
    return along_y, along_x


def _coefficients(frames: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    """Correlate frames (C, H, W) with waves, as means over pixels: (C, K)."""
    rows = frames.to(along_x.dtype) @ along_x.conj()
    return (along_y.conj() * rows).sum(1) / frames[0].numel()


def _noise_power(frames: Tensor) -> Tensor:
    """Return the mean power of a coefficient of the noise alone, (C,)."""
    spectrum = torch.fft.rfft2(frames).abs().square().flatten(1)
    floor = spectrum.median(1).values / math.log(2) / frames[0].numel() ** 2
    return floor.clamp(min=1e-30)


def _unmix(coefficients: Tensor, harmonics: Tensor, height: int, width: int) -> Tensor:
    """Return the amplitudes of waves, cut off at the frame's borders, with these coefficients.

    Waves without a whole number of periods in the frame are not orthogonal, so strong ones
    contribute to the coefficients of weak ones.
    """
    both = torch.cat([harmonics, -harmonics])
    apart = both[None] - both[:, None]
    mixing = _overlap(apart[..., 0], height) * _overlap(apart[..., 1], width)
    mixing = mixing + 1e-3 * torch.eye(len(both), device=mixing.device)
    conjugates = torch.cat([coefficients, coefficients.conj()], 1)
    return torch.linalg.solve(mixing, conjugates.mT).mT[:, : len(harmonics)]


def _overlap(frequency: Tensor, length: int) -> Tensor:
    """Mean of exp(2 pi i f n) over n from 0 to length - 1."""
    half_turn = math.pi * frequency.double()
    at_zero = half_turn.sin().abs() < 1e-9
    size = torch.sin(half_turn * length) / torch.where(at_zero, 1.0, half_turn.sin()) / length
    phase = torch.exp(1j * half_turn * (length - 1))
    return torch.where(at_zero, torch.ones_like(phase), size * phase).to(torch.complex64)
