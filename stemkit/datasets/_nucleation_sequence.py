"""A crystal grain that grows in the disorder, frame by frame, of atoms that stay who they are."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from sklearn.utils import Bunch

from .._random import RandomState, check_generator
from ._checks import check_count, check_shape
from ._nucleation import position_table, render
from ._nucleation_model import (
    VIBRATION,
    NucleationLaw,
    Specimens,
    draw_specimens,
    grain_radius,
    grain_sites,
)

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Small steps that atoms try between two frames, and before the first, for the grain to settle.
_N_STEPS = 10
_N_STEPS_BEFORE = 100
# Share of the way to its site that an atom goes in one step once the grain has reached it.
_PULL = 0.3
# But at most this far, in spacings: from frame to frame no atom flows further than half of one.
_FASTEST = 0.05
# An atom nearer to its site than this, in spacings, has joined the grain.
_JOINED = 0.25


def make_nucleation_sequence(
    n_frames: int = 20,
    shape: tuple[int, int] = (256, 256),
    *,
    growth: tuple[float, float] = (0.02, 0.3),
    diffusion: float = 0.3,
    random_state: RandomState = None,
    **options: Any,
) -> Bunch:
    """Make frames in time of a grain that grows while the disordered atoms diffuse.

    The atoms begin as in :func:`make_nucleation`. From frame to frame each tries many small random
    steps and takes those that bring it neither nearer to another atom than the minimal distance
    nor into the vacuum. A disk in which atoms are ordered grows; the atoms that it reaches are
    pulled to the nearest sites of the lattice, and vibrate there. Positions are continuous, and
    each atom keeps its identity, its brightness and its width.

    Parameters
    ----------
    n_frames : int, default=20
        Number of frames.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    growth : tuple of float, default=(0.02, 0.3)
        Share of the frame that lies in the grain's disk, in the first and in the last frame. Its
        area changes evenly in time; it does not shrink.
    diffusion : float, default=0.3
        Standard deviation in px of what an atom alone would move along each axis between two
        frames. In the crowd atoms are in each other's way and move less.
    random_state : int, Generator, RandomState or None, default=None
        Source of everything random.
    **options : keyword arguments
        What :func:`make_nucleation` takes, from ``contrast`` to ``whole_numbers``, but not
        ``order``.

    Returns
    -------
    Bunch
        ``noisy``, ``clean``, ``target`` (n_frames, H, W), ``positions`` and ``parameters`` as
        :func:`make_nucleation` gives them. ``positions`` has one more column, ``atom``: the same
        number for the same atom in every frame; it is missing from frames in which its centre lies
        outside. ``ordered`` says that it sits within a quarter of the spacing of its site.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

    Notes
    -----
    The grain takes its atoms from where it grows: those that have the least way to go, all in all
    (``scipy.optimize.linear_sum_assignment``). Where there are too few it has vacancies, and an
    atom that finds its site taken stays where it is for a while.

    References
    ----------
    .. [1] H. Li, Z. Wu, R. Shao and Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
       High-Resolution Transmission Electron Microscopy Imaging", CVPR 2026, section 3.5.

    Examples
    --------
    >>> from stemkit.datasets import make_nucleation_sequence
    >>> film = make_nucleation_sequence(5, (64, 64), growth=(0.1, 0.5), random_state=0)
    >>> film.noisy.shape
    (5, 64, 64)
    >>> tracks = film.positions.pivot(index="frame", columns="atom", values="y")
    >>> len(tracks)
    5
    """
    if "order" in options:
        raise ValueError("order is not for sequences; pass growth=(first, last) instead.")
    law = NucleationLaw(**options)
    n_frames = check_count(n_frames, "n_frames")
    shape = check_shape(shape)
    if np.shape(growth) != (2,) or not 0 <= growth[0] <= growth[1] <= 1:
        raise ValueError(f"growth must be (first, last), rising shares of 0 to 1; got {growth}.")
    if not (isinstance(diffusion, Real) and 0 <= diffusion < np.inf):
        raise ValueError(f"diffusion must be 0 px or above; got {diffusion!r}.")
    rng = check_generator(random_state)
    specimen = draw_specimens(law, shape, 1, np.empty(0, dtype=np.float32), rng)
    shares = np.linspace(*growth, n_frames, dtype=np.float32)
    radius = grain_radius(shape, _repeat(specimen.drawn, n_frames), shares, law.margin)
    crowd = _Crowd(specimen, law, shape, float(radius[-1]))
    noisy, clean, target = (np.empty((n_frames, *shape), dtype=np.float32) for _ in range(3))
    positions, parameters = [], []
    for index in range(n_frames):
        for _ in range(_N_STEPS if index else _N_STEPS_BEFORE):
            crowd.step(float(radius[index]), diffusion / np.sqrt(_N_STEPS), rng)
        specimen.drawn["order"], specimen.drawn["grain_radius"] = shares[[index]], radius[[index]]
        specimen.y, specimen.x = crowd.points.T
        specimen.ordered = crowd.ordered(float(radius[index]))
        clean[index], target[index] = render(specimen, shape)
        noisy[index] = law.record(clean[index], rng)
        table = position_table(specimen, shape, index)
        table.insert(1, "atom", np.flatnonzero(specimen.inside(shape)))
        positions.append(table)
        parameters.append({name: float(value[0]) for name, value in specimen.drawn.items()})
    return Bunch(
        noisy=noisy,
        clean=clean,
        target=target,
        positions=pd.concat(positions, ignore_index=True),
        parameters=pd.DataFrame(parameters),
    )


def _repeat(drawn: dict[str, Any], n_frames: int) -> dict[str, Any]:
    return {name: np.repeat(value, n_frames) for name, value in drawn.items()}


class _Crowd:
    """Atoms that move without coming too near to each other, some of them towards a lattice."""

    def __init__(
        self, specimen: Specimens, law: NucleationLaw, shape: tuple[int, int], radius: float
    ) -> None:
        self.points = np.stack([specimen.y, specimen.x], axis=1).astype(float)
        self.distance = float(specimen.drawn["min_distance"][0])
        self.spacing = float(specimen.drawn["spacing"][0])
        self.vacuum = specimen.vacuum
        self.low = -0.5 - law.margin
        self.high = np.array(shape) - 0.5 + law.margin
        sites, apart = self._sites(specimen, law, shape, radius)
        self.site, self.apart = self._assign(sites, apart)

    def _sites(
        self, specimen: Specimens, law: NucleationLaw, shape: tuple[int, int], radius: float
    ) -> tuple[Float64Array, Float64Array]:
        """Return the grown grain's sites on the material, and how far from its centre they lie."""
        grown = {**specimen.drawn, "grain_radius": np.array([radius], dtype=np.float32)}
        frame, y, x = grain_sites(law, shape, grown)
        material = self.vacuum.is_material(frame, y, x)
        sites = np.stack([y, x], axis=1)[material].astype(float)
        centre = [specimen.drawn[name][0] for name in ("grain_y", "grain_x")]
        return sites, np.linalg.norm(sites - centre, axis=1)

    def _assign(
        self, sites: Float64Array, apart: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Give atoms the sites that cost least way; without one an atom never becomes ordered."""
        site = np.full(self.points.shape, np.nan)
        reached_at = np.full(len(self.points), np.inf)
        if len(sites) and len(self.points):
            way, _ = cKDTree(sites).query(self.points)
            near = np.flatnonzero(way < 2 * self.spacing)
            cost = ((self.points[near][:, None] - sites) ** 2).sum(axis=-1)
            atom, place = linear_sum_assignment(cost)
            site[near[atom]] = sites[place]
            reached_at[near[atom]] = apart[place]
        return site, reached_at

    def ordered(self, radius: float) -> NDArray[np.bool_]:
        """Tell which atoms sit at their site in a grain of this radius."""
        off = np.linalg.norm(self.points - self.site, axis=1)
        return (self.apart < radius) & (off < _JOINED * self.spacing)

    def step(self, radius: float, stride: float, rng: np.random.Generator) -> None:
        """Let each atom try one step, all at the same time."""
        draws = rng.standard_normal(self.points.shape)
        reached = (self.apart < radius)[:, None]
        # A pull and a push that balance at the vibration, whatever the size of the step.
        push = VIBRATION * self.spacing * np.sqrt(1 - (1 - _PULL) ** 2)
        pull = _PULL * (self.site - self.points)
        length = np.linalg.norm(pull, axis=1, keepdims=True)
        pull *= np.minimum(1, _FASTEST * self.spacing / np.maximum(length, 1e-9))
        pulled = self.points + pull + push * draws
        tried = np.where(reached, pulled, self.points + stride * draws)
        refused = ((tried < self.low) | (tried >= self.high)).any(axis=1)
        y, x = tried.astype(np.float32).T
        on_material = self.vacuum.is_material(np.zeros(len(tried), dtype=int), y, x)
        refused |= ~(on_material | reached[:, 0])
        refused[self._crowded(tried)] = True
        self.points = np.where(refused[:, None], self.points, tried)

    def _crowded(self, tried: Float64Array) -> IntArray:
        """Name the atoms whose step would bring them near another, if that one steps or not."""
        n_atoms = len(tried)
        # The places where atoms are, then those where they would be.
        places = np.concatenate([self.points, tried])
        pairs = cKDTree(places).query_pairs(self.distance, output_type="ndarray")
        first, second = pairs.T
        # Where both would step only the second is held back; the first is free to go if where
        # the second stays is free, and that is a pair of its own.
        return (second - n_atoms)[(second >= n_atoms) & (second - n_atoms != first)]
