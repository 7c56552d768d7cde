"""Random scenes: lattices with vacuum, edges, grains, vacancies and amorphous patches.

Real frames are not perfect crystals. Without anything aperiodic in view a drift is known only up to
a lattice vector.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .._constraints import Interval, Options, Sequence, check_arguments
from .._random import RandomState, check_generator
from .._scene import Scene, as_shape, constant_film, plane_waves
from ..degradation import damage_pattern
from ..exceptions import InvalidParameterError
from ._projection import lattice_points

Float64Array = NDArray[np.float64]
Content = Literal["aperiodic", "perfect"]


@check_arguments(
    shape=["frame shape"],
    content=[Options("aperiodic", "perfect")],
    spacing=[Sequence(Interval(float, 1, 1e6, unit="px"), 2)],
    margin=[Interval(float, 0, 20)],
    random_state=["random_state"],
)
def make_scene(
    shape: tuple[int, int] = (256, 256),
    *,
    content: Content = "aperiodic",
    spacing: tuple[float, float] = (8.0, 24.0),
    margin: float = 0.5,
    random_state: RandomState = None,
) -> Scene:
    """Make a random lattice that is larger than the frame.

    Parameters
    ----------
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of the frame.
    content : {"aperiodic", "perfect"}, default="aperiodic"
        "aperiodic" has grains, vacuum, vacancies, amorphous patches, adatoms and a film that
        varies slowly, each present or absent at random; "perfect" is one lattice without an edge.
    spacing : tuple of float, default=(8, 24)
        Minimum and maximum length of a lattice vector in px, from 1.
    margin : float, default=0.5
        Distance by which the scene extends beyond the frame on each side, as a fraction of the
        longer side, up to 20.
    random_state : int, Generator, RandomState or None, default=None
        Source of randomness.

    Returns
    -------
    Scene
        Its brightest undamaged columns have a peak of about 1.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value, or ``spacing`` falls.

    Examples
    --------
    >>> from stemkit.datasets import make_scene
    >>> scene = make_scene((64, 64), content="perfect", random_state=0)
    >>> scene.basis.shape
    (2, 2)
    """
    if spacing[0] > spacing[1]:
        raise InvalidParameterError(f"spacing must be (minimum, maximum); got {spacing}.")
    shape = as_shape(shape)
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
    keep = is_material(points, shape, rng) & (rng.random(len(points)) > rng.uniform(0, 0.05))
    amplitude = amplitude * relative_thickness(points, shape, rng)
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
    """Return positions, amplitudes, widths and basis of a random crystal in a rectangle."""
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
    # At most as many columns in a cell as fit with space between them.
    n_columns = int(rng.integers(1, max(2, min(4, int(length / 5)) + 1)))
    motif = rng.random((n_columns, 2))
    peaks = rng.uniform(0.25, 1.0, n_columns)
    peaks[0] = 1.0
    widths = rng.uniform(0.11, 0.2, n_columns) * min(length, other)
    points, column, inside = lattice_points(basis, motif, low, high)
    column = column[inside]
    return points[inside], peaks[column], widths.clip(1.0, None)[column], basis


def _grains(
    low: Float64Array,
    high: Float64Array,
    spacing: tuple[float, float],
    rng: np.random.Generator,
) -> list[tuple[Float64Array, Float64Array, Float64Array]]:
    """Return one to three crystals that divide the field into Voronoi cells."""
    n_grains = int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))
    # Seeds near the middle, so that most boundaries are in view.
    middle, half = (low + high) / 2, (high - low) / 4
    seeds = middle + rng.uniform(-1, 1, (n_grains, 2)) * half
    grains = []
    for grain in range(n_grains):
        points, amplitude, sigma, _ = _lattice(low, high, spacing, rng)
        distance = ((points[:, None] - seeds) ** 2).sum(axis=2)
        nearest = distance.argmin(axis=1) == grain
        grains.append((points[nearest], amplitude[nearest], sigma[nearest]))
    return grains


def _disorder(
    points: Float64Array,
    amplitude: Float64Array,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[Float64Array, Float64Array]:
    """Displace all columns slightly, and those of an amorphous patch strongly."""
    displacement = np.full(len(points), rng.uniform(0, 0.4))
    if rng.random() < 0.3:
        patch = damage_pattern("perlin", shape, random_state=rng)(*points.T) > 0.65
        displacement[patch] = 4.0
        amplitude = amplitude * np.where(patch, 0.6, 1.0)
    amplitude = amplitude * (1 + rng.uniform(0, 0.1) * rng.standard_normal(len(points)))
    return points + displacement[:, None] * rng.standard_normal(points.shape), amplitude


def is_material(
    points: Float64Array, shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return a mask of the points on a specimen with an edge, with holes, or of a particle."""
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


def relative_thickness(
    points: Float64Array, shape: tuple[int, int], rng: np.random.Generator
) -> Float64Array:
    """Return a thickness that varies slowly over the field, between a random minimum and 1."""
    depth = rng.uniform(0, 0.5)
    pattern = damage_pattern("perlin", shape, cell=min(shape) / 2, random_state=rng)
    return 1 - depth * pattern(*points.T)


def _adatoms(
    low: Float64Array, high: Float64Array, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return positions, amplitudes and widths of contamination, also on vacuum."""
    area = float(np.prod(high - low))
    n_points = int(
        area / np.prod(shape) * rng.choice([0, int(rng.integers(5, 40))], p=[0.25, 0.75])
    )
    positions = rng.uniform(low, high, (n_points, 2))
    return positions, rng.uniform(0.2, 0.8, n_points), rng.uniform(1.5, 5.0, n_points)


def _film(shape: tuple[int, int], rng: np.random.Generator) -> Float64Array:
    """Return a support film that varies slowly: a few long waves around a constant."""
    n_waves = int(rng.integers(0, 7))
    length = rng.uniform(0.3, 2.0, n_waves) * max(shape)
    turn = rng.uniform(0, 2 * np.pi, n_waves)
    strength = rng.uniform(0, 0.15) / max(np.sqrt(n_waves), 1)
    waves = plane_waves(length, turn, rng.uniform(0, 2 * np.pi, n_waves), strength)
    # The constant keeps the sum of the waves from being negative.
    return np.concatenate([waves, constant_film(strength * n_waves)])
