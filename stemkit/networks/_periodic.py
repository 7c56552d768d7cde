"""What repeats in frames: their projection on the harmonics of their lattice."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._reciprocal import HIGHEST, find_reciprocal, half_plane

_MOST_HARMONICS = 150
_REACH = 16
# Harmonics weaker than this, in power over the noise's, are left out; the others are shrunk by the
# noise that they hold.
_LEAST_POWER = 4.0
_SHRINK = 2.0


def periodic_part(frames: Tensor, guide: Tensor) -> Tensor:
    """Return what repeats on the lattice of a guide, each pixel an average over all its like.

    Parameters
    ----------
    frames : Tensor of shape (C, H, W)
        Versions of one frame. Gradients pass through them.
    guide : Tensor of shape (H, W)
        The version in whose spectrum the lattice is looked for.

    Returns
    -------
    Tensor of shape (C, H, W)
        With a mean of about zero; zero where there is no lattice.
    """
    found = find_reciprocal(guide - guide.mean())
    if found is None:
        return torch.zeros_like(frames)
    height, width = frames.shape[1:]
    frames = frames - frames.mean((1, 2), keepdim=True)
    harmonics = half_plane(_REACH, frames.device).to(frames.dtype) @ found.basis
    distance = harmonics.norm(dim=1)
    order = distance.argsort()[:_MOST_HARMONICS]
    harmonics = harmonics[order][distance[order] < HIGHEST]
    along_y, along_x = _waves(harmonics, height, width)
    seen = _coefficients(frames, along_y, along_x)
    with torch.no_grad():
        power = seen.abs().square() / _noise_power(frames)[:, None]
        strong = (power > _LEAST_POWER).any(0)
        gain = torch.where(power > _LEAST_POWER, 1 - _SHRINK / power, 0.0)[:, strong]
    if not strong.any():
        return torch.zeros_like(frames)
    along_y, along_x, seen = along_y[:, strong], along_x[:, strong], seen[:, strong]
    amplitude = _unmix(seen, harmonics[strong], height, width) * gain
    # Of opposite harmonics only one was taken; the other is its complex conjugate.
    drawn = torch.einsum("yk,ck,xk->cyx", along_y, amplitude, along_x)
    return 2 * drawn.real


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


def _unmix(seen: Tensor, harmonics: Tensor, height: int, width: int) -> Tensor:
    """Solve for amplitudes whose waves, cut off at the frame's borders, give what was seen.

    Waves that do not fit into the frame are not orthogonal on it: the strong ones leak into the
    weak ones.
    """
    both = torch.cat([harmonics, -harmonics])
    apart = both[None] - both[:, None]
    mixing = _overlap(apart[..., 0], height) * _overlap(apart[..., 1], width)
    mixing = mixing + 1e-3 * torch.eye(len(both), device=mixing.device)
    conjugates = torch.cat([seen, seen.conj()], 1)
    return torch.linalg.solve(mixing, conjugates.mT).mT[:, : len(harmonics)]


def _overlap(frequency: Tensor, length: int) -> Tensor:
    """Mean of exp(2 pi i f n) over n from 0 to length - 1."""
    half_turn = math.pi * frequency.double()
    at_zero = half_turn.sin().abs() < 1e-9
    size = torch.sin(half_turn * length) / torch.where(at_zero, 1.0, half_turn.sin()) / length
    phase = torch.exp(1j * half_turn * (length - 1))
    return torch.where(at_zero, torch.ones_like(phase), size * phase).to(torch.complex64)
