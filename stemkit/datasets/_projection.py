"""Projection of a crystal along a zone axis: the lattice of its columns and their contents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._constraints import Interval, Sequence
from ._structures import site_shares

if TYPE_CHECKING:
    from ase import Atoms

Float64Array = NDArray[np.float64]

# The signal at high scattering angles grows with about this power of the atomic number.
HAADF_EXPONENT = 1.7
# Higher indices than these make cells that take minutes to search.
ZONE_AXIS = Sequence(Interval(int, -30, 30), 3)
# Atoms whose projections are closer than this, in nm, belong to one column: far above rounding
# errors, and far below the resolution of any microscope.
_SAME_COLUMN = 1e-3


@dataclass(frozen=True, eq=False)
class Projection:
    """The repeating unit of a crystal in the image plane. Lengths are in nm.

    Parameters
    ----------
    basis : ndarray of shape (2, 2)
        Lattice vectors (y, x) of the projected lattice.
    points : ndarray of shape (n_sites, 2)
        Positions (y, x) of the sites of one unit.
    depth : ndarray of shape (n_sites,)
        Height of each site along the zone axis, towards the viewer.
    basis_depth : ndarray of shape (2,)
        Change of height along each lattice vector of the basis.
    period : float
        Period of a column along the zone axis; inf for a sheet.
    column : ndarray of shape (n_sites,)
        Index of each site's column.
    numbers, shares : ndarray
        Elements, and the share of each on every site, as ``site_shares`` returns them.
    """

    basis: Float64Array
    points: Float64Array
    depth: Float64Array
    basis_depth: Float64Array
    period: float
    column: NDArray[np.int_]
    numbers: NDArray[np.int_]
    shares: Float64Array

    @property
    def n_columns(self) -> int:
        """Number of columns in one cell of the projected lattice."""
        return int(self.column.max()) + 1

    def transformed(self, matrix: Float64Array) -> Projection:
        """Return the same crystal after a linear map of the image plane, in (y, x)."""
        return replace(self, basis=self.basis @ matrix.T, points=self.points @ matrix.T)

    def column_points(self) -> Float64Array:
        """Return the position of each column, (n_columns, 2): that of its first site."""
        _, first = np.unique(self.column, return_index=True)
        return self.points[first]

    def column_weights(self, exponent: float) -> Float64Array:
        """Return the mean scattering of each column over one period: the sum of Z^exponent."""
        weight = self.shares @ self.numbers.astype(float) ** exponent
        return np.bincount(self.column, weights=weight).astype(np.float64)


def project(structure: Atoms, zone_axis: ArrayLike) -> Projection:
    """Project a crystal along a zone axis.

    The shortest lattice vector of the projection points to the right, y points down, and the zone
    axis points towards the viewer.

    Parameters
    ----------
    structure : ase.Atoms
        The unit cell; its lengths are in angstrom.
    zone_axis : array-like of three int
        Direction in the cell, [uvw].

    Raises
    ------
    ValueError
        If the axis is not three whole numbers, or that of a sheet is not (0, 0, 1).
    """
    axis = np.asarray(zone_axis)
    if axis.shape != (3,) or axis.dtype.kind not in "iu" or not axis.any():
        raise ValueError(f"zone_axis must be three whole numbers, not all zero; got {zone_axis!r}.")
    axis = axis // np.gcd.reduce(axis)
    is_sheet = not structure.pbc[2]
    if is_sheet and axis[:2].any():
        raise ValueError(
            f"zone_axis must be (0, 0, 1) for a sheet without a period along c; got {zone_axis!r}. "
            f"Tilt it instead."
        )
    cell = structure.cell.complete().array / 10  # ase counts in angstrom
    towards = axis @ cell
    period = float(np.linalg.norm(towards))
    towards = towards / period
    in_plane = _complete_basis(axis, cell, towards)
    right = in_plane[0] @ cell
    right = right - (right @ towards) * towards
    right /= np.linalg.norm(right)
    frame = np.stack([np.cross(right, towards), right, towards], axis=1)  # y, x, depth

    vectors = in_plane @ cell @ frame
    sites = structure.get_scaled_positions(wrap=False) @ cell @ frame
    # All into one cell of the projection: `cells_over` relies on it.
    sites -= np.floor(sites[:, :2] @ np.linalg.inv(vectors[:, :2])) @ vectors
    numbers, shares = site_shares(structure)
    return Projection(
        basis=vectors[:, :2],
        points=sites[:, :2],
        depth=sites[:, 2],
        basis_depth=vectors[:, 2],
        period=np.inf if is_sheet else period,
        column=_columns(sites[:, :2], vectors[:, :2]),
        numbers=numbers,
        shares=shares,
    )


def _complete_basis(axis: NDArray[np.int_], cell: Float64Array, towards: Float64Array) -> NDArray:
    """Return the two lattice vectors that form a primitive set with the axis.

    Of all such pairs it is the one with the shortest projections.
    """
    reach = np.arange(-np.abs(axis).max(), np.abs(axis).max() + 1)
    candidates = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = candidates @ cell
    lengths = np.linalg.norm(vectors - np.outer(vectors @ towards, towards), axis=1)
    # Ties are resolved by the indices, largest first, so that [100] comes before [-100].
    order = np.lexsort((*-candidates.T[::-1], lengths.round(9)))
    candidates = candidates[order][lengths[order] > 1e-9]
    first = candidates[0]
    # Right-handed with y down, so that the second vector points down too.
    volume = candidates @ np.cross(first, axis)
    return np.stack([first, candidates[volume == 1][0]])


def _columns(points: Float64Array, basis: Float64Array) -> NDArray[np.int_]:
    """Return the index of each site's column, the same for points a lattice vector apart."""
    fractional = points @ np.linalg.inv(basis)
    difference = fractional[:, None] - fractional
    distance = np.linalg.norm((difference - np.rint(difference)) @ basis, axis=-1)
    # Each site is represented by the first one at its position.
    _, column = np.unique((distance < _SAME_COLUMN).argmax(axis=1), return_inverse=True)
    return column


def cells_over(basis: Float64Array, low: ArrayLike, high: ArrayLike) -> Float64Array:
    """Return the indices (i, j) of all cells that overlap a rectangle, and of a few more.

    Parameters
    ----------
    basis : ndarray of shape (2, 2)
        Lattice vectors (y, x).
    low, high : array-like of shape (2,)
        Corners (y, x) of the rectangle.

    Returns
    -------
    ndarray of shape (n_cells, 2)
        Multiples of the two vectors.
    """
    low, high = np.asarray(low), np.asarray(high)
    corners = np.array([[y, x] for y in (low[0], high[0]) for x in (low[1], high[1])])
    cells = corners @ np.linalg.inv(basis)
    ranges = [np.arange(np.floor(c.min()) - 1, np.ceil(c.max()) + 2) for c in cells.T]
    return np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 2)


def lattice_points(
    basis: Float64Array, motif: Float64Array, low: Float64Array, high: Float64Array
) -> tuple[Float64Array, NDArray[np.int_], NDArray[np.bool_]]:
    """Return the points of a lattice that cover a rectangle.

    Parameters
    ----------
    basis : ndarray of shape (2, 2)
        Lattice vectors (y, x).
    motif : ndarray of shape (n, 2)
        Positions of the points in the cell, in fractions of the lattice vectors.
    low, high : ndarray of shape (2,)
        Corners (y, x) of the rectangle.

    Returns
    -------
    points : ndarray of shape (n_points, 2)
        Positions (y, x), also of some points outside the rectangle.
    kind : ndarray of shape (n_points,)
        Index of each point in the motif.
    inside : ndarray of shape (n_points,)
        Mask of the points inside the rectangle.
    """
    cells = cells_over(basis, low, high)
    points = ((cells[:, np.newaxis] + motif) @ basis).reshape(-1, 2)
    kind = np.tile(np.arange(len(motif)), len(cells))
    inside = np.asarray(((points > low) & (points < high)).all(axis=1))
    return points, kind, inside
