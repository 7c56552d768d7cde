"""Sequences of a crystalline grain that grows among disordered atoms, which can be tracked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from sklearn.utils import Bunch

from .._constraints import Interval, Sequence, check_arguments
from .._random import RandomState, check_generator
from .._scene import as_shape
from ..exceptions import InvalidParameterError
from ._nucleation import NucleationFrames
from ._nucleation_model import (
    VIBRATION,
    AtomBatch,
    NucleationModel,
    draw_atoms,
    grain_radius,
    grain_sites,
)

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Number of small steps that atoms try between two frames, and before the first one, in which the
# grain reaches equilibrium.
_N_STEPS = 10
_N_STEPS_BEFORE = 100
# Fraction of the distance to its site that an atom moves in one step once the grain has reached it.
_PULL = 0.3
# Maximum of this move, in spacings: between two frames it is at most half a spacing.
_MAX_PULL = 0.05
# Atoms closer to their sites than this, in spacings, belong to the grain.
_ORDERED_DISTANCE = 0.25


@check_arguments(
    n_frames=[Interval(int, 1, None)],
    shape=["frame shape"],
    growth=[Sequence(Interval(float, 0, 1), 2)],
    diffusion=[Interval(float, 0, 1e6, unit="px")],
    random_state=["random_state"],
)
def make_nucleation_sequence(
    n_frames: int = 20,
    shape: tuple[int, int] = (256, 256),
    *,
    growth: tuple[float, float] = (0.02, 0.3),
    diffusion: float = 0.3,
    random_state: RandomState = None,
    **options: Any,
) -> Bunch:
    """Make a series of frames of a grain that grows while the disordered atoms diffuse.

    The atoms start as in :func:`make_nucleation`. Between two frames each tries many small random
    steps, and makes those that take it neither closer to another atom than the minimal distance nor
    into the vacuum. A disk in which atoms are ordered grows; the atoms that it reaches are pulled
    to the nearest lattice sites, and vibrate there. Positions change continuously, and each atom
    keeps its identity, brightness and width.

    Parameters
    ----------
    n_frames : int, default=20
        Number of frames.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    growth : tuple of float, default=(0.02, 0.3)
        Fraction of the frame that lies in the grain's disk, in the first and in the last frame. Its
        area grows linearly in time; it can't shrink.
    diffusion : float, default=0.3
        Standard deviation in px of the movement of a single atom along each axis between two
        frames. Among others atoms block each other and move less.
    random_state : int, Generator, RandomState or None, default=None
        Source of randomness.
    **options : keyword arguments
        Those of :func:`make_nucleation`, from ``contrast`` to ``whole_numbers``, but not ``order``.

    Returns
    -------
    Bunch
        ``noisy``, ``clean``, ``target`` (n_frames, H, W), ``positions`` and ``parameters`` as
        :func:`make_nucleation` returns them. ``positions`` has one more column, ``atom``: the same
        number for the same atom in every frame in which its centre lies. ``ordered`` is True if it
        is within a quarter of the spacing of its site.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value.

    Notes
    -----
    The grain takes its atoms from where it grows: those with the shortest total distance to its
    sites (``scipy.optimize.linear_sum_assignment``). Where there are too few it has vacancies, and
    an atom whose site is blocked stays where it is for a while.

    References
    ----------
    .. [1] H. Li, Z. Wu, R. Shao and Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
       High-Resolution Transmission Electron Microscopy Imaging", CVPR 2026, section 3.5.

    Examples
    --------
    >>> from stemkit.datasets import make_nucleation_sequence
    >>> series = make_nucleation_sequence(5, (64, 64), growth=(0.1, 0.5), random_state=0)
    >>> series.noisy.shape
    (5, 64, 64)
    >>> tracks = series.positions.pivot(index="frame", columns="atom", values="y")
    >>> len(tracks)
    5
    """
    if "order" in options:
        raise InvalidParameterError("order is not for sequences; pass growth=(first, last).")
    if growth[0] > growth[1]:
        raise InvalidParameterError(f"growth must be (first, last), rising; got {growth}.")
    model = NucleationModel(**options)
    shape = as_shape(shape)
    rng = check_generator(random_state)
    atoms = draw_atoms(model, shape, 1, np.empty(0, dtype=np.float32), rng)
    shares = np.linspace(*growth, n_frames, dtype=np.float32)
    radius = grain_radius(shape, _repeat(atoms.drawn, n_frames), shares, model.margin)
    movement = _Movement(atoms, model, shape, float(radius[-1]))
    frames = NucleationFrames(model, shape, n_frames)
    for index in range(n_frames):
        for _ in range(_N_STEPS if index else _N_STEPS_BEFORE):
            movement.step(float(radius[index]), diffusion / np.sqrt(_N_STEPS), rng)
        atoms.drawn["order"], atoms.drawn["grain_radius"] = shares[[index]], radius[[index]]
        atoms.y, atoms.x = movement.points.T
        atoms.ordered = movement.ordered(float(radius[index]))
        table = frames.add(atoms, rng)
        table.insert(1, "atom", np.flatnonzero(atoms.inside(shape)))
    return frames.bunch()


def _repeat(drawn: dict[str, Any], n_frames: int) -> dict[str, Any]:
    return {name: np.repeat(value, n_frames) for name, value in drawn.items()}


class _Movement:
    """Move atoms without bringing them too close to each other, some of them towards a lattice."""

    def __init__(
        self, atoms: AtomBatch, model: NucleationModel, shape: tuple[int, int], radius: float
    ) -> None:
        self.points = np.stack([atoms.y, atoms.x], axis=1).astype(float)
        self.distance = float(atoms.drawn["min_distance"][0])
        self.spacing = float(atoms.drawn["spacing"][0])
        self.vacuum = atoms.vacuum
        self.low = -0.5 - model.margin
        self.high = np.array(shape) - 0.5 + model.margin
        sites, site_radius = self._sites(atoms, model, shape, radius)
        self.site, self.site_radius = self._assign(sites, site_radius)

    def _sites(
        self, atoms: AtomBatch, model: NucleationModel, shape: tuple[int, int], radius: float
    ) -> tuple[Float64Array, Float64Array]:
        """Return the final grain's sites outside the vacuum, and their distance to its centre."""
        grown = {**atoms.drawn, "grain_radius": np.array([radius], dtype=np.float32)}
        frame, y, x = grain_sites(model, shape, grown)
        material = self.vacuum.is_material(frame, y, x)
        sites = np.stack([y, x], axis=1)[material].astype(float)
        centre = [atoms.drawn[name][0] for name in ("grain_y", "grain_x")]
        return sites, np.linalg.norm(sites - centre, axis=1)

    def _assign(
        self, sites: Float64Array, site_radius: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Assign sites to atoms with the shortest total distance; other atoms stay disordered."""
        site = np.full(self.points.shape, np.nan)
        reached_at = np.full(len(self.points), np.inf)
        if len(sites) and len(self.points):
            distance, _ = cKDTree(sites).query(self.points)
            near = np.flatnonzero(distance < 2 * self.spacing)
            cost = ((self.points[near][:, None] - sites) ** 2).sum(axis=-1)
            atom, assigned = linear_sum_assignment(cost)
            site[near[atom]] = sites[assigned]
            reached_at[near[atom]] = site_radius[assigned]
        return site, reached_at

    def ordered(self, radius: float) -> NDArray[np.bool_]:
        """Return a mask of the atoms that are at their site in a grain of this radius."""
        distance = np.linalg.norm(self.points - self.site, axis=1)
        return (self.site_radius < radius) & (distance < _ORDERED_DISTANCE * self.spacing)

    def step(self, radius: float, step_size: float, rng: np.random.Generator) -> None:
        """Let all atoms try one step at the same time."""
        draws = rng.standard_normal(self.points.shape)
        reached = (self.site_radius < radius)[:, None]
        # A pull and random pushes that are in equilibrium at the vibration.
        push = VIBRATION * self.spacing * np.sqrt(1 - (1 - _PULL) ** 2)
        pull = _PULL * (self.site - self.points)
        length = np.linalg.norm(pull, axis=1, keepdims=True)
        pull *= np.minimum(1, _MAX_PULL * self.spacing / np.maximum(length, 1e-9))
        pulled = self.points + pull + push * draws
        tried = np.where(reached, pulled, self.points + step_size * draws)
        rejected = ((tried < self.low) | (tried >= self.high)).any(axis=1)
        y, x = tried.astype(np.float32).T
        on_material = self.vacuum.is_material(np.zeros(len(tried), dtype=int), y, x)
        rejected |= ~(on_material | reached[:, 0])
        rejected[self._too_close(tried)] = True
        self.points = np.where(rejected[:, None], self.points, tried)

    def _too_close(self, tried: Float64Array) -> IntArray:
        """Return the atoms whose step would take them too close to another, moved or not."""
        n_atoms = len(tried)
        # The present positions, then the tried ones.
        positions = np.concatenate([self.points, tried])
        pairs = cKDTree(positions).query_pairs(self.distance, output_type="ndarray")
        first, second = pairs.T
        # If two tried positions are too close only the second step is rejected. Whether the first
        # atom is too close to the second one's present position is another pair.
        return (second - n_atoms)[(second >= n_atoms) & (second - n_atoms != first)]
