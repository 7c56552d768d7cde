"""Frames of Gaussian atoms at known positions, and lists of such atoms."""

import numpy as np
from scipy.stats import qmc

from stemkit.localize._windows import Atoms

SIGMA = 1.5


def draw(shape, places, amplitude=100.0, sigma=SIGMA):
    """Sum of exact Gaussians without a cutoff."""
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])[:, None]
    places = np.atleast_2d(places).astype(float)
    along_y = np.exp(-((y - places[:, 0]) ** 2) / (2 * np.broadcast_to(sigma, len(places)) ** 2))
    along_x = np.exp(-((x - places[:, 1]) ** 2) / (2 * np.broadcast_to(sigma, len(places)) ** 2))
    return (along_y * np.broadcast_to(amplitude, len(places))) @ along_x.T


def grid(rng, n=12, spacing=16.0, scatter=2.0):
    """Positions near the points of a grid, isolated and inside the border, and a shape for them."""
    index = np.indices((n, n)).reshape(2, -1).T
    return (index + 0.5) * spacing + rng.uniform(-scatter, scatter, (n * n, 2)), (
        round(n * spacing),
    ) * 2


def crowd(seed=5, shape=(80, 90), distance=4.5, scatter=0.0, noise=4.0):
    """Positions with a minimal distance, and a noisy frame of atoms at these."""
    rng = np.random.default_rng(seed)
    side = max(shape)
    places = side * qmc.PoissonDisk(2, radius=distance / side, rng=rng).fill_space() - 0.5
    places = places[(places < np.array(shape) - 0.5).all(axis=1)]
    amplitude = 40 * (1 + 0.15 * rng.normal(size=len(places)))
    sigma = SIGMA * (1 + scatter * rng.normal(size=len(places)))
    clean = 100 + draw(shape, places, amplitude, sigma)
    return places, clean + noise * rng.normal(size=shape)


def atoms_at(places, amplitude=10.0):
    places = np.reshape(places, (-1, 2))
    return Atoms.at(places, np.broadcast_to(amplitude, len(places)), SIGMA)
