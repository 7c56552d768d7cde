"""Simulated series that move while their frames are scanned, with the path of every row."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from stemkit.datasets import make_nucleation

SIDE = 256
_MARGIN = 80


@dataclass(frozen=True)
class Scanned:
    """A series: frames (n, H, W), the path of each row (n, H, 2) and the scan directions."""

    frames: NDArray[np.float32]
    paths: NDArray[np.float64]
    directions: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


def crystal(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw two grains with vacancies and heavier atoms, on a film."""
    cell = rng.uniform(8, 10.5)
    x = np.arange(side) - side / 2
    border = 20 * np.sin(x / 70) + rng.uniform(-0.2, 0.2) * x
    image = np.zeros((side, side))
    for sign, angle in zip((-1, 1), rng.uniform(0, 1.5, 2), strict=True):
        n = int(side / cell)
        i, j = (k.ravel() for k in np.mgrid[-n : n + 1, -n : n + 1])
        at_y = cell * (i * np.cos(angle) + j * np.sin(angle)) + side / 2
        at_x = cell * (j * np.cos(angle) - i * np.sin(angle)) + side / 2
        inside = (at_y > 0) & (at_y < side - 1) & (at_x > 0) & (at_x < side - 1)
        at_y, at_x = at_y[inside], at_x[inside]
        belongs = sign * (at_y - side / 2 - border[at_x.astype(int)]) > 2
        heights = rng.choice([0, 0.8, 1.2], belongs.sum(), p=[0.02, 0.96, 0.02])
        spots = np.zeros((2 * side, 2 * side))
        # Spots on a grid of half pixels, blurred to the size of atoms.
        index = np.rint(2 * at_y[belongs]).astype(int), np.rint(2 * at_x[belongs]).astype(int)
        np.add.at(spots, tuple(k.clip(0, 2 * side - 1) for k in index), heights)
        sigma = 2 * 0.2 * cell
        blurred = ndimage.gaussian_filter(spots, sigma) * 2 * np.pi * sigma**2
        image += blurred.reshape(side, 2, side, 2).mean(axis=(1, 3))
    film = ndimage.gaussian_filter(rng.normal(size=(side, side)), 6)
    return image + 0.1 + 0.02 * film / film.std()


def particles(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw crystalline grains on a film."""
    seed = int(rng.integers(2**31))
    clean = make_nucleation(1, shape=(side, side), random_state=seed).clean[0]
    low, high = np.quantile(clean, (0.001, 0.999))
    return np.clip((clean - low) / (high - low), 0, None) + 0.2


SPECIMENS = {"crystal": crystal, "particles": particles}


def settling(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return paths of a stage that settles, and drifts by a few px from frame to frame."""
    time = np.arange(n)[:, None] + np.arange(SIDE) / SIDE
    left = 1 - np.exp(-time / rng.uniform(0.5, 0.9))
    return left[..., None] * rng.uniform(10, 16, 2) * rng.choice([-1, 1], 2) + _steps(n, rng)


def sinusoid(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return paths that swing by 5 px along x and 3 px along y, with other phases in each frame."""
    rows = np.arange(SIDE) / SIDE
    phase = rng.uniform(0, 2 * np.pi, (2, n, 1))
    turns = 2 * np.pi * rows / rng.uniform(0.6, 0.9)
    return np.stack([3 * np.sin(turns + phase[0]), 5 * np.sin(turns + phase[1])], -1) + _steps(
        n, rng
    )


def linear(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return paths of a constant velocity in each frame."""
    rows = np.arange(SIDE)[:, None] / SIDE - 0.5
    return rows * rng.normal(0, 3, (n, 1, 2)) + _steps(n, rng)


def still(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return paths of frames that move as a whole."""
    return np.repeat(_steps(n, rng), SIDE, axis=1)


PATHS = {"settling": settling, "sinusoid": sinusoid, "linear": linear, "none": still}


def make_series(
    specimen: str, motion: str, *, dose: float, jitter: float, n_frames: int, seed: int
) -> Scanned:
    """Simulate a series scanned along one direction."""
    rng = np.random.default_rng(seed)
    paths = PATHS[motion](n_frames, rng)
    paths[..., 1] += rng.normal(0, jitter, paths.shape[:2]) if jitter else 0
    return _record(SPECIMENS[specimen], paths, np.zeros(n_frames), dose, rng)


def make_orthogonal(specimen: str, *, curved: bool, dose: float, seed: int) -> Scanned:
    """Simulate two frames scanned along 0 and 90 degrees."""
    rng = np.random.default_rng(seed)
    paths = linear(2, rng)
    if curved:
        rows = np.arange(SIDE) / SIDE
        waves = np.sin(2 * np.pi * 0.8 * rows + rng.uniform(0, 6, (2, 1)))
        paths = paths + waves[..., None] * rng.normal(0, 4, (2, 1, 2))
    return _record(SPECIMENS[specimen], paths, np.array([0.0, 90.0]), dose, rng)


def _steps(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.cumsum(rng.normal(0, 2, (n, 1, 2)), axis=0)


def _record(make, paths, directions, dose, rng) -> Scanned:
    image = make(SIDE + 2 * _MARGIN, rng)
    frames = []
    for path, degrees in zip(paths, directions, strict=True):
        y, x = np.indices((SIDE, SIDE), float)
        y, x = y - path[:, :1] - (SIDE - 1) / 2, x - path[:, 1:] - (SIDE - 1) / 2
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        middle = (SIDE + 2 * _MARGIN - 1) / 2
        points = [cos * y - sin * x + middle, sin * y + cos * x + middle]
        frames.append(ndimage.map_coordinates(image, points, order=3, mode="reflect"))
    counts = rng.poisson(dose * np.clip(frames, 0, None)).astype(np.float32)
    return Scanned(counts, paths, directions)
