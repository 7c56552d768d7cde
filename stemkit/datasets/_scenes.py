"""Scenes of many kinds: lattices with vacuum, edges, grains, vacancies and amorphous patches.

Real frames are not perfect crystals: without something aperiodic in view a drift is known only
up to a lattice vector.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .._random import RandomState, check_generator
from .._scene import Scene
from ..degradation import damage_pattern
from ._projection import cells_over

Float64Array = NDArray[np.float64]
Content = Literal["aperiodic", "perfect"]


def make_scene(
    shape: tuple[int, int] = (256, 256),
    *,
    content: Content = "aperiodic",
    spacing: tuple[float, float] = (8.0, 24.0),
    margin: float = 0.5,
    random_state: RandomState = None,
) -> Scene:
    """Make a random lattice, larger than the frame.

    Parameters
    ----------
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of the frame.
    content : {"aperiodic", "perfect"}, default="aperiodic"
        "aperiodic" has grains, vacuum, vacancies, amorphous patches, adatoms and a film that
        varies slowly, each present or absent by chance; "perfect" is one lattice, without end.
    spacing : tuple of float, default=(8, 24)
        Least and largest length of a lattice vector in px.
    margin : float, default=0.5
        How far the scene reaches beyond the frame on each side, in shares of the longer side.
    random_state : int, Generator, RandomState or None, default=None
        Source of the scene.

    Returns
    -------
    Scene
        Its brightest undamaged columns have a peak of about 1.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

    Examples
    --------
    >>> from stemkit.datasets import make_scene
    >>> scene = make_scene((64, 64), content="perfect", random_state=0)
    >>> scene.basis.shape
    (2, 2)
    """
    if content not in get_args(Content):
        raise ValueError(f"content must be one of {get_args(Content)}; got {content!r}.")
    if not 0 < spacing[0] <= spacing[1]:
        raise ValueError(f"spacing must rise from above 0 px, (least, largest); got {spacing}.")
    rng = check_generator(random_state)
    rim = margin * max(shape)
    low = np.array([-rim, -rim])
    high = np.array(shape) + rim
    if content == "perfect":
        points, amplitude, sigma, basis = _lattice(low, high, spacing, rng)
        return Scene(points[:, 0], points[:, 1], amplitude, sigma, basis=basis)

    parts = _grains(low, high, spacing, rng)
    points = np.concatenate([part[0] for part in parts])
    amplitude = np.concatenate([part[1] for part in parts])
    sigma = np.concatenate([part[2] for part in parts])
    points, amplitude = _disorder(points, amplitude, shape, rng)
    keep = _is_material(points, shape, rng) & (rng.random(len(points)) > rng.uniform(0, 0.05))
    amplitude = amplitude * _thickness(points, shape, rng)
    extra, extra_amplitude, extra_sigma = _adatoms(low, high, shape, rng)
    return Scene(
        np.concatenate([points[keep, 0], extra[:, 0]]),
        np.concatenate([points[keep, 1], extra[:, 1]]),
        np.concatenate([amplitude[keep], extra_amplitude]),
        np.concatenate([sigma[keep], extra_sigma]),
        waves=_film(shape, rng),
    )


def _lattice(
    low: Float64Array,
    high: Float64Array,
    spacing: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """Columns of one random crystal over a rectangle: positions, amplitudes, widths, basis."""
    length = rng.uniform(*spacing)
    other = float(np.clip(length * rng.uniform(1.0, 1.6), *spacing))
    angle = np.deg2rad(rng.choice([60.0, 90.0, rng.uniform(65, 115)]))
    turn = rng.uniform(0, 2 * np.pi)
    basis = np.array(
        [
            [length * np.sin(turn), length * np.cos(turn)],
            [other * np.sin(turn + angle), other * np.cos(turn + angle)],
        ]
    )
    # As many columns in a cell as fit with room between them.
    n_columns = int(rng.integers(1, max(2, min(4, int(length / 5)) + 1)))
    motif = rng.random((n_columns, 2))
    peaks = rng.uniform(0.25, 1.0, n_columns)
    peaks[0] = 1.0
    widths = rng.uniform(0.11, 0.2, n_columns) * min(length, other)
    origins = cells_over(basis, low, high)[:, np.newaxis]
    points = ((origins + motif) @ basis).reshape(-1, 2)
    inside = ((points > low) & (points < high)).all(axis=1)
    tile = len(origins)
    sigma = np.tile(widths.clip(1.0, None), tile)
    return points[inside], np.tile(peaks, tile)[inside], sigma[inside], basis


def _grains(
    low: Float64Array,
    high: Float64Array,
    spacing: tuple[float, float],
    rng: np.random.Generator,
) -> list[tuple[Float64Array, Float64Array, Float64Array]]:
    """One to three crystals that share the field as Voronoi cells do."""
    n_grains = int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))
    # Seeds in the middle, so that most boundaries are in view.
    middle, half = (low + high) / 2, (high - low) / 4
    seeds = middle + rng.uniform(-1, 1, (n_grains, 2)) * half
    grains = []
    for grain in range(n_grains):
        points, amplitude, sigma, _ = _lattice(low, high, spacing, rng)
        distance = ((points[:, None] - seeds) ** 2).sum(axis=2)
        mine = distance.argmin(axis=1) == grain
        grains.append((points[mine], amplitude[mine], sigma[mine]))
    return grains


def _disorder(
    points: Float64Array,
    amplitude: Float64Array,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[Float64Array, Float64Array]:
    """Displace every column a little, and those of an amorphous patch a lot."""
    displacement = np.full(len(points), rng.uniform(0, 0.4))
    if rng.random() < 0.3:
        patch = damage_pattern("perlin", shape, random_state=rng)(*points.T) > 0.65
        displacement[patch] = 4.0
        amplitude = amplitude * np.where(patch, 0.6, 1.0)
    amplitude = amplitude * (1 + rng.uniform(0, 0.1) * rng.standard_normal(len(points)))
    return points + displacement[:, None] * rng.standard_normal(points.shape), amplitude


def _is_material(
    points: Float64Array, shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Cut vacuum out of the specimen: a straight edge, a particle or holes."""
    vacuum = rng.choice(["none", "edge", "particle", "holes"], p=[0.3, 0.35, 0.15, 0.2])
    relative = (points - np.array(shape) / 2) / min(shape)
    if vacuum == "edge":
        turn = rng.uniform(0, 2 * np.pi)
        along = relative @ np.array([np.sin(turn), np.cos(turn)])
        across = relative @ np.array([np.cos(turn), -np.sin(turn)])
        rough = 0.04 * np.sin(across * rng.uniform(5, 20) + rng.uniform(0, 6))
        return along + rough < rng.uniform(-0.1, 0.35)
    if vacuum == "particle":
        angle = np.arctan2(relative[:, 0], relative[:, 1])
        facets = 1 + 0.12 * np.cos(rng.integers(3, 7) * angle + rng.uniform(0, 6))
        return np.hypot(*relative.T) < rng.uniform(0.25, 0.45) * facets
    if vacuum == "holes":
        return damage_pattern("perlin", shape, random_state=rng)(*points.T) < rng.uniform(0.55, 0.8)
    return np.ones(len(points), dtype=bool)


def _thickness(
    points: Float64Array, shape: tuple[int, int], rng: np.random.Generator
) -> Float64Array:
    """Slow change of the signal over the field, between 1 and what is drawn."""
    depth = rng.uniform(0, 0.5)
    pattern = damage_pattern("perlin", shape, cell=min(shape) / 2, random_state=rng)
    return 1 - depth * pattern(*points.T)


def _adatoms(
    low: Float64Array, high: Float64Array, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Contamination: blobs and single bright atoms at random places, vacuum included."""
    area = float(np.prod(high - low))
    n_points = int(
        area / np.prod(shape) * rng.choice([0, int(rng.integers(5, 40))], p=[0.25, 0.75])
    )
    positions = rng.uniform(low, high, (n_points, 2))
    return positions, rng.uniform(0.2, 0.8, n_points), rng.uniform(1.5, 5.0, n_points)


def _film(shape: tuple[int, int], rng: np.random.Generator) -> Float64Array:
    """A support film that varies slowly: a few long waves about a constant."""
    n_waves = int(rng.integers(0, 7))
    length = rng.uniform(0.3, 2.0, n_waves) * max(shape)
    turn = rng.uniform(0, 2 * np.pi, n_waves)
    strength = rng.uniform(0, 0.15) / max(np.sqrt(n_waves), 1)
    waves = np.stack(
        [
            2 * np.pi / length * np.sin(turn),
            2 * np.pi / length * np.cos(turn),
            rng.uniform(0, 2 * np.pi, n_waves),
            np.full(n_waves, strength),
        ],
        axis=1,
    )
    # Waves swing both ways: a constant beneath them keeps the film's signal above zero.
    level = np.array([[0.0, 0.0, 0.0, strength * n_waves]])
    return np.concatenate([waves, level])
