"""The lattice of a frame, found in its spectrum however deep it lies in white noise."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Highest frequency looked at, in cycles per px: a probe sampled as it should be leaves nothing
# above. What it leaves falls off as a Gaussian; half of it is beyond _FALL.
HIGHEST = 0.35
_FALL = 0.09
# Power over the noise's that a harmonic at frequency 0 is expected to have.
_EXPECTED = 15.0
_N_PEAKS = 30
_REACH = 6
# Frames with a shorter side show no lattice.
LEAST_SIDE = 16
# Power of a harmonic, over the noise's, that is needed to tell its place to a part of a bin.
_CLEAR = 10.0


class Reciprocal(NamedTuple):
    """Two vectors (fy, fx) of the reciprocal lattice in cycles per px, and how likely it is.

    ``evidence`` is the logarithm of how much more probable the spectrum is with the lattice than
    with noise alone, and at least 0.
    """

    basis: Tensor
    evidence: float


class _Spectrum:
    """Power over the noise's, on a grid twice as fine as the frame's own frequencies.

    The rows rise from -1/2 to 1/2 cycles per px; of the columns those from 0 are kept, for the
    others are the same.
    """

    def __init__(self, frame: Tensor) -> None:
        self.sides = 2 * torch.tensor(frame.shape, device=frame.device)
        # Slow changes of brightness are no lattice.
        self.lowest = 3 / min(frame.shape)
        power = torch.fft.rfft2(frame, s=self.sides.tolist()).abs().square()
        # The median of an exponential distribution is ln 2 of its mean, and a lattice's harmonics
        # are too few to move it.
        floor = power.median() / math.log(2)
        self.power = torch.fft.fftshift(power / floor.clamp(min=1e-30), dim=0)

    def peaks(self, n: int) -> Tensor:
        """Return the frequencies (n, 2) of the highest peaks, refined to parts of a bin."""
        n_rows, n_columns = self.power.shape
        fy = (torch.arange(n_rows, device=self.power.device) - n_rows // 2) / self.sides[0]
        fx = torch.arange(n_columns, device=self.power.device) / self.sides[1]
        distance = torch.hypot(fy[:, None], fx)
        wanted = (distance < HIGHEST) & (distance > self.lowest)
        power = torch.where(wanted, self.power, 0.0)
        top = F.max_pool2d(power[None], 5, 1, 2)[0] == power
        flat = torch.where(top, power, 0.0).ravel().topk(min(n, power.numel())).indices
        rows, columns = flat // n_columns, flat % n_columns
        return self._refined(torch.stack([rows - n_rows // 2, columns], 1)) / self.sides

    def at(self, frequency: Tensor) -> Tensor:
        """Return the power at the grid points nearest to frequencies (..., 2)."""
        rows, columns = self._index(torch.round(frequency * self.sides).long())
        return self.power[rows, columns]

    def nearby(self, frequency: Tensor) -> tuple[Tensor, Tensor]:
        """Find the highest point about each frequency (n, 2): where it is, and its power."""
        step = torch.tensor([-1, 0, 1], device=frequency.device)
        around = torch.cartesian_prod(step, step)
        place = torch.round(frequency * self.sides).long()[:, None] + around
        rows, columns = self._index(place)
        power, best = self.power[rows, columns].max(1)
        place = place[torch.arange(len(place), device=place.device), best]
        return self._refined(place) / self.sides, power

    def _index(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows and columns of places (fy, fx) on the grid, or of their opposites."""
        place = torch.where(place[..., 1:] < 0, -place, place)
        half = self.power.shape[0] // 2
        columns = place[..., 1].clamp(max=self.power.shape[1] - 1)
        return (place[..., 0] + half) % self.power.shape[0], columns

    def _refined(self, place: Tensor) -> Tensor:
        """Move places (n, 2) to the top of the parabolas through them and their neighbours."""
        moved = place.double()
        for axis in (0, 1):
            step = torch.zeros_like(place)
            step[:, axis] = 1
            before, here, after = (
                self.power[self._index(place + n * step)].clamp(min=1e-9).log() for n in (-1, 0, 1)
            )
            bend = before - 2 * here + after
            top = 0.5 * (before - after) / torch.where(bend < 0, bend, 1.0)
            moved[:, axis] += torch.where(bend < 0, top, 0.0).clamp(-0.5, 0.5)
        return moved


@torch.no_grad()
def find_reciprocal(frame: Tensor) -> Reciprocal | None:
    """Find the lattice that explains most of what a frame's spectrum has above its noise.

    Every two of the highest peaks, and the vectors of which they are sum and difference, are tried
    as a lattice. For each harmonic its power over the noise's speaks for the lattice, or against
    it: so a lattice twice as fine, all of whose other harmonics are noise, loses.

    Parameters
    ----------
    frame : Tensor of shape (H, W)
        With a mean of zero; its noise has to be about white.

    Returns
    -------
    Reciprocal or None
        None where there are no two peaks, or the frame is too small to have any.
    """
    if min(frame.shape) < LEAST_SIDE:
        return None
    spectrum = _Spectrum(frame)
    peaks = spectrum.peaks(_N_PEAKS)
    first, second = torch.triu_indices(len(peaks), len(peaks), 1, device=peaks.device)
    pairs = torch.stack([peaks[first], peaks[second]], 1)
    pairs = torch.cat([pairs, torch.stack([pairs.sum(1) / 2, (pairs[:, 0] - pairs[:, 1]) / 2], 1)])
    length = pairs.norm(dim=2)
    apart = torch.linalg.det(pairs).abs() > 0.2 * length.prod(1)
    pairs = pairs[apart & (length.amin(1) > spectrum.lowest)]
    if not len(pairs):
        return None
    orders = half_plane(_REACH, pairs.device).double()
    best = pairs[_evidence(spectrum, orders, pairs).argmax()]
    for _ in range(3):
        best = _refine(spectrum, orders, best)
    found = float(_evidence(spectrum, orders, best[None])[0])
    return Reciprocal(best.to(frame.dtype), max(found, 0.0))


def half_plane(reach: int, device: torch.device) -> Tensor:
    """Return orders (m, n) up to a reach, of each two opposite ones one, and not (0, 0)."""
    step = torch.arange(-reach, reach + 1, device=device)
    orders = torch.cartesian_prod(step, step)
    return orders[(orders[:, 0] > 0) | ((orders[:, 0] == 0) & (orders[:, 1] > 0))]


def _evidence(spectrum: _Spectrum, orders: Tensor, bases: Tensor) -> Tensor:
    """Compare lattices (n, 2, 2) with noise alone: log-likelihood ratio.

    Power over the noise's is distributed exponentially, with a mean of 1 where there is noise
    alone, and of 1 more than what is expected where there is a harmonic.
    """
    harmonics = orders @ bases
    distance = harmonics.norm(dim=-1)
    expected = _EXPECTED * torch.exp(-((distance / _FALL) ** 2))
    ratio = spectrum.at(harmonics) * expected / (1 + expected) - torch.log1p(expected)
    return torch.where(distance < HIGHEST, ratio, 0.0).sum(-1)


def _refine(spectrum: _Spectrum, orders: Tensor, basis: Tensor) -> Tensor:
    """Fit a lattice to the places of its clear harmonics, by least squares."""
    harmonics = orders @ basis
    inside = harmonics.norm(dim=-1) < HIGHEST
    places, power = spectrum.nearby(harmonics[inside])
    clear = power > _CLEAR
    weight = power[clear].sqrt()[:, None].double()
    rows = weight * orders[inside][clear]
    normal = rows.T @ rows
    if not clear.any() or float(torch.linalg.det(normal)) < 1e-6 * float(normal.trace()) ** 2:
        return basis
    return torch.linalg.solve(normal, rows.T @ (weight * places[clear]))
