"""The part of a crystal that a frame shows, with its defects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._scene import CUT, Scene
from ._projection import Projection, cells_over

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int_]


@dataclass(frozen=True, eq=False)
class View:
    """The frame, the probe and the state of the specimen.

    Parameters
    ----------
    shape : tuple of int
        Shape (H, W) of the frame.
    pixel_size : float
        Length of a pixel in nm.
    sigma : float
        Standard deviation of the probe in px.
    exponent : float
        An atom scatters in proportion to its atomic number to this power.
    thickness : float
        Thickness in nm.
    lean : ndarray of shape (2,)
        Displacement (y, x) of a column per unit of height.
    vacancies, vacuum : float
        Fraction of atoms that are missing, and of the frame that is vacuum.
    every_atom : bool
        Whether the heights of the atoms matter, so that each is placed individually.
    """

    shape: tuple[int, int]
    pixel_size: float
    sigma: float
    exponent: float
    thickness: float
    lean: Float64Array
    vacancies: float
    vacuum: float
    every_atom: bool


class Columns(NamedTuple):
    """Columns of atoms: centroid (y, x) in px, scattering, number of atoms, and kind."""

    points: Float64Array
    weight: Float64Array
    n_atoms: IntArray
    kind: IntArray


@dataclass(frozen=True, eq=False)
class CrystalPatch:
    """The sites of a part of a crystal and the atoms that fill them.

    Parameters
    ----------
    points : ndarray of shape (n_sites, 2)
        Positions (y, x) in px.
    height : ndarray of shape (n_sites,)
        Height above the middle in nm; 0 if a site stands for all those behind each other.
    counts : ndarray of shape (n_sites, n_elements)
        Number of atoms of each element.
    numbers : ndarray of shape (n_elements,)
        Atomic numbers.
    weight : ndarray of shape (n_sites,)
        Scattering of each site, summed over its atoms.
    column, kind : ndarray of shape (n_sites,)
        Index of the column to which a site belongs, from 0 without gaps, and of that column in the
        crystal's unit.
    """

    points: Float64Array
    height: Float64Array
    counts: IntArray
    numbers: IntArray
    weight: Float64Array
    column: IntArray
    kind: IntArray

    @cached_property
    def columns(self) -> Columns:
        """The columns that have any atoms."""
        total = np.bincount(self.column, weights=self.weight).astype(np.float64)
        moments = [np.bincount(self.column, weights=self.weight * along) for along in self.points.T]
        n_atoms = np.bincount(self.column, weights=self.counts.sum(axis=1)).astype(int)
        kind = np.zeros(len(total), dtype=int)
        kind[self.column] = self.kind
        filled = total > 0
        centroid = np.stack(moments, axis=1)[filled] / total[filled, None]
        return Columns(centroid, total[filled], n_atoms[filled], kind[filled])

    def scene(self, sigma: float) -> Scene:
        """Return a scene with a Gaussian for each column, or for each atom if heights matter."""
        scatterers = self if self.height.any() else self.columns
        return Scene.from_points(scatterers.points, scatterers.weight, sigma)


def cut_patch(projection: Projection, view: View, rng: np.random.Generator) -> CrystalPatch:
    """Cut the part that a frame shows out of a crystal, at a random position.

    Parameters
    ----------
    projection : Projection
        The crystal after rotation and strain, with in-plane lengths in px.
    view : View
        The frame.
    rng : Generator
        Source of the position, the edge, and the atoms on each site.
    """
    period = projection.period
    n_layers = max(1, round(view.thickness / period))
    height = n_layers * period if np.isfinite(period) else 0.0
    rim = CUT * view.sigma + np.abs(view.lean).max() * height / 2 / view.pixel_size
    low, high = np.full(2, -rim), np.array(view.shape) - 1 + rim
    cells = cells_over(projection.basis, low, high)
    origins = (cells + rng.random(2)) @ projection.basis

    positions = origins[:, np.newaxis] + projection.column_points()
    visible = ((positions > low) & (positions < high)).all(axis=-1)
    if view.vacuum:
        visible &= _is_crystal(positions, view, rng)
    cell, site = np.nonzero(visible[:, projection.column])
    kind = projection.column[site]
    _, column = np.unique(cell * projection.n_columns + kind, return_inverse=True)
    points = origins[cell] + projection.points[site]
    height_above = np.zeros(len(points))
    n_behind = n_layers
    if view.every_atom:
        height_above = projection.depth[site] + cells[cell] @ projection.basis_depth
        if np.isfinite(period):
            layers = period * np.arange(n_layers)[:, np.newaxis] - height / 2
            height_above = (height_above % period + layers).ravel()
        else:
            height_above -= projection.depth.mean()
        site, kind, column = (np.tile(values, n_layers) for values in (site, kind, column))
        shift = height_above[:, None] * view.lean / view.pixel_size
        points = np.tile(points, (n_layers, 1)) + shift
        n_behind = 1
    shares = projection.shares / projection.shares.sum(axis=1, keepdims=True).clip(1)
    shares = shares * (1 - view.vacancies)
    chances = np.column_stack([shares, 1 - shares.sum(axis=1)]).clip(0)
    counts = rng.multinomial(n_behind, chances[site])[:, :-1]
    weight = counts @ projection.numbers.astype(float) ** view.exponent
    return CrystalPatch(points, height_above, counts, projection.numbers, weight, column, kind)


def _is_crystal(positions: Float64Array, view: View, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask of the positions on the crystal's side of a random straight edge."""
    turn = rng.uniform(0, 2 * np.pi)
    normal = np.array([np.sin(turn), np.cos(turn)])
    along = np.add.outer(*(np.arange(n) * part for n, part in zip(view.shape, normal, strict=True)))
    return positions @ normal < np.quantile(along, 1 - view.vacuum)


def column_labels(projection: Projection) -> list[str]:
    """Name each column of a crystal by its elements, the heaviest sites first.

    Elements behind each other are joined by "+", and those that share a site by "/".
    """
    from ase.data import chemical_symbols

    labels = []
    for kind in range(projection.n_columns):
        sites = {}
        for shares in projection.shares[projection.column == kind]:
            order = sorted(np.flatnonzero(shares), key=lambda i: -shares[i])
            name = "/".join(chemical_symbols[projection.numbers[i]] for i in order)
            sites[name] = float(shares @ projection.numbers)
        labels.append("+".join(sorted(sites, key=lambda name: -sites[name])))
    return labels
