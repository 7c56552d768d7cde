"""The lattice of a frame, determined in its spectrum, also in strong white noise."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Highest frequency of harmonics, in cycles per px; at correct sampling a probe transmits none
# above.
MAX_FREQUENCY = 0.35
# Expected power of harmonics, relative to the noise: a Gaussian of this width in cycles per px, ...
_WIDTH = 0.09
# ... with this value at frequency 0.
_EXPECTED = 15.0
_N_PEAKS = 30
_MAX_ORDER = 6
# Shorter sides have too few frequencies for a lattice.
_MIN_SIDE = 16
# Minimum power of a harmonic, relative to the noise, to determine its position within a bin.
_MIN_POWER = 10.0


class Reciprocal(NamedTuple):
    """A reciprocal lattice and its likelihood.

    ``basis`` holds two vectors (fy, fx) in cycles per px. ``log_ratio`` is the logarithm of the
    likelihood of the spectrum with the lattice over that with noise alone, and at least 0.
    """

    basis: Tensor
    log_ratio: float


class _Spectrum:
    """Power relative to the noise, on a grid twice as fine as that of the discrete transform.

    The frequencies of the rows rise from -1/2 to 1/2 cycles per px. Those of the columns start at
    0, since opposite frequencies have the same power.
    """

    def __init__(self, frame: Tensor) -> None:
        self.sides = 2 * torch.tensor(frame.shape, device=frame.device)
        # Below are slow changes of brightness.
        self.lowest = 3 / min(frame.shape)
        power = torch.fft.rfft2(frame, s=self.sides.tolist()).abs().square()
        # The median of an exponential distribution is ln 2 times its mean, and the harmonics of a
        # lattice are too few to change it.
        floor = power.median() / math.log(2)
        self.power = torch.fft.fftshift(power / floor.clamp(min=1e-30), dim=0)

    def peaks(self, n: int) -> Tensor:
        """Return the frequencies (n, 2) of the highest peaks, refined to parts of a bin."""
        n_rows, n_columns = self.power.shape
        fy = (torch.arange(n_rows, device=self.power.device) - n_rows // 2) / self.sides[0]
        fx = torch.arange(n_columns, device=self.power.device) / self.sides[1]
        distance = torch.hypot(fy[:, None], fx)
        allowed = (distance < MAX_FREQUENCY) & (distance > self.lowest)
        power = torch.where(allowed, self.power, 0.0)
        top = F.max_pool2d(power[None], 5, 1, 2)[0] == power
        flat = torch.where(top, power, 0.0).ravel().topk(min(n, power.numel())).indices
        rows, columns = flat // n_columns, flat % n_columns
        return self._refined(torch.stack([rows - n_rows // 2, columns], 1)) / self.sides

    def at(self, frequency: Tensor) -> Tensor:
        """Return the power at the grid points nearest to frequencies (..., 2)."""
        rows, columns = self._index(torch.round(frequency * self.sides).long())
        return self.power[rows, columns]

    def nearby(self, frequency: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frequency and the power of the highest point about each frequency (n, 2)."""
        step = torch.tensor([-1, 0, 1], device=frequency.device)
        around = torch.cartesian_prod(step, step)
        position = torch.round(frequency * self.sides).long()[:, None] + around
        rows, columns = self._index(position)
        power, best = self.power[rows, columns].max(1)
        position = position[torch.arange(len(position), device=position.device), best]
        return self._refined(position) / self.sides, power

    def _index(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows and columns of grid points (fy, fx), or of their opposites."""
        position = torch.where(position[..., 1:] < 0, -position, position)
        half = self.power.shape[0] // 2
        columns = position[..., 1].clamp(max=self.power.shape[1] - 1)
        return (position[..., 0] + half) % self.power.shape[0], columns

    def _refined(self, position: Tensor) -> Tensor:
        """Move grid points (n, 2) to the maxima of parabolas through them and their neighbours."""
        moved = position.double()
        for axis in (0, 1):
            step = torch.zeros_like(position)
            step[:, axis] = 1
            before, here, after = (
                self.power[self._index(position + n * step)].clamp(min=1e-9).log()
                for n in (-1, 0, 1)
            )
            bend = before - 2 * here + after
            top = 0.5 * (before - after) / torch.where(bend < 0, bend, 1.0)
            moved[:, axis] += torch.where(bend < 0, top, 0.0).clamp(-0.5, 0.5)
        return moved


@torch.no_grad()
def find_reciprocal(frame: Tensor) -> Reciprocal | None:
    """Find the lattice with the highest likelihood of the frame's spectrum.

    The candidates are all pairs of the highest peaks, and the vectors of which these are sum and
    difference. A harmonic without power lowers the likelihood, so that a reciprocal lattice twice
    as fine, of which most harmonics are noise, is not chosen.

    Parameters
    ----------
    frame : Tensor of shape (H, W)
        Frame with a mean of zero and approximately white noise.

    Returns
    -------
    Reciprocal or None
        None if there are no two peaks, or if the frame is too small.
    """
    if min(frame.shape) < _MIN_SIDE:
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
    orders = half_plane(_MAX_ORDER, pairs.device).double()
    best = pairs[_log_ratio(spectrum, orders, pairs).argmax()]
    for _ in range(3):
        best = _refine(spectrum, orders, best)
    found = float(_log_ratio(spectrum, orders, best[None])[0])
    return Reciprocal(best.to(frame.dtype), max(found, 0.0))


def half_plane(max_order: int, device: torch.device) -> Tensor:
    """Return orders (m, n) up to a maximum: one of each opposite two, without (0, 0)."""
    step = torch.arange(-max_order, max_order + 1, device=device)
    orders = torch.cartesian_prod(step, step)
    return orders[(orders[:, 0] > 0) | ((orders[:, 0] == 0) & (orders[:, 1] > 0))]


def _log_ratio(spectrum: _Spectrum, orders: Tensor, bases: Tensor) -> Tensor:
    """Return the log-likelihood ratio of lattices (n, 2, 2) to noise alone.

    Power relative to the noise has an exponential distribution. Its mean is 1 for noise alone, and
    1 plus the expected power of a harmonic.
    """
    harmonics = orders @ bases
    distance = harmonics.norm(dim=-1)
    expected = _EXPECTED * torch.exp(-((distance / _WIDTH) ** 2))
    ratio = spectrum.at(harmonics) * expected / (1 + expected) - torch.log1p(expected)
    return torch.where(distance < MAX_FREQUENCY, ratio, 0.0).sum(-1)


def _refine(spectrum: _Spectrum, orders: Tensor, basis: Tensor) -> Tensor:
    """Fit a lattice to the positions of its strong harmonics, by least squares."""
    harmonics = orders @ basis
    inside = harmonics.norm(dim=-1) < MAX_FREQUENCY
    positions, power = spectrum.nearby(harmonics[inside])
    strong = power > _MIN_POWER
    weight = power[strong].sqrt()[:, None].double()
    rows = weight * orders[inside][strong]
    normal = rows.T @ rows
    if not strong.any() or float(torch.linalg.det(normal)) < 1e-6 * float(normal.trace()) ** 2:
        return basis
    return torch.linalg.solve(normal, rows.T @ (weight * positions[strong]))
