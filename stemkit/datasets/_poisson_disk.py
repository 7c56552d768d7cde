"""Poisson-disk points: random points of which no two are closer than a minimal distance.

:func:`poisson_disk_points` draws them in many fields at once, on arrays and on tensors, by dart
throwing: candidate points are drawn uniformly, one after the other, and one is accepted unless an
accepted point lies within the minimal distance. Which are accepted follows from their order alone,
so that all candidates without an earlier undecided neighbour are decided together: the distribution
is that of a loop over points, without the loop. SciPy's ``PoissonDisk``, which
:func:`bridson_points` calls, implements Bridson's algorithm instead. That gives the same density
and distances to the nearest neighbour but another pair correlation at larger distances, and takes
some two hundred times as long.
"""

from __future__ import annotations

import math

import numpy as np

from .._arrays import ArrayMaker, Frames, Generator, maker_like, namespace, uniform

# Lengths are in units of the minimal distance. A cell with a diagonal of 1 holds at most one point,
# and the points within 1 of a point lie in its cell or in one of the 20 around it.
_CELL = math.sqrt(0.5)
_NEIGHBOURS = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if abs(i) + abs(j) < 4]
_RIM = 2
# Each cell is cut into 3 x 3 subcells. A subcell that lies wholly within 1 of a point can hold no
# other point, so that no candidates are drawn in it.
_CUT = 3
_SUBCELL = _CELL / _CUT
_COVERED_RADIUS = 1 - _SUBCELL * math.sqrt(0.5)
_REACH = math.floor(_COVERED_RADIUS / _SUBCELL + 0.5)
# Candidates per unit of area in each round: together as many as give SciPy's density; in rounds,
# because subcells that were covered in one are left out in the next.
_ROUNDS = (0.5, 1.0, 2.0, 3.0, 4.75)
_FAR_AWAY = 1e6
_LAST = 2**62

# Points per square of the minimal distance.
DENSITY = 0.598

Points = tuple[Frames, Frames, Frames]


def poisson_disk_points(
    height: Frames, width: Frames, generator: Generator, *, fixed: Points | None = None
) -> Points:
    """Draw Poisson-disk points by dart throwing, about as dense as SciPy's ``PoissonDisk``.

    Parameters
    ----------
    height, width : ndarray or torch.Tensor of shape (n_fields,), float32
        Sides of the fields in units of the minimal distance. Points may lie up to a quarter of
        that distance beyond a field's end.
    generator : numpy.random.Generator or torch.Generator
        Source of the points.
    fixed : tuple of arrays (field, y, x), optional
        Points that exist already, inside the fields and no closer to each other than 1.

    Returns
    -------
    field, y, x : ndarray or torch.Tensor of shape (n_points,)
        The new points, without the fixed ones: index of the field, and position in it, from 0.
    """
    xp, make = namespace(height), maker_like(height)
    # One cell more than the field has: rounding can put a candidate at its end into the next cell.
    rows, columns = (
        math.ceil(float(side.max()) / _CELL) + 2 * _RIM + 1 for side in (height, width)
    )
    grid = _Grid(len(height), rows, columns, make)
    free = grid.subcells_inside(height, width)
    if fixed is not None:
        grid.add(*fixed)
        grid.cover(free, *fixed)
    found = []
    for number, density in enumerate(_ROUNDS):
        subcells = make.flatnonzero(free)
        n_candidates = make.poisson(density * _SUBCELL**2 * len(subcells), generator)
        if not n_candidates:
            continue
        chosen = subcells[make.integers(len(subcells), n_candidates, generator)]
        down, right = uniform(height, (2, n_candidates), generator)
        field, y, x = grid.positions(chosen, down, right)
        accepted = grid.accept(field, y, x, make.permutation(n_candidates, generator))
        points = field[accepted], y[accepted], x[accepted]
        found.append(points)
        if number < len(_ROUNDS) - 1:
            grid.cover(free, *points)
    if not found:
        return xp.zeros_like(height[:0], dtype=xp.int64), height[:0], width[:0]
    field, y, x = (xp.concatenate(parts) for parts in zip(*found, strict=True))
    return field, y, x


def bridson_points(
    height: Frames, width: Frames, generator: Generator, *, fixed: Points | None = None
) -> Points:
    """Draw points by :class:`scipy.stats.qmc.PoissonDisk`, one field after the other on the CPU.

    The arguments and results are those of :func:`poisson_disk_points`. SciPy takes no fixed points:
    those of its own that come too close to one of them are removed afterwards.
    """
    from scipy.spatial import cKDTree
    from scipy.stats.qmc import PoissonDisk

    make = maker_like(height)
    rng = np.random.default_rng(int(make.integers(2**62, 1, generator)[0]))
    fields, points = [], []
    for number, sides in enumerate(zip(height.tolist(), width.tolist(), strict=True)):
        disk = PoissonDisk(2, radius=1.0, l_bounds=[0, 0], u_bounds=sides, rng=rng)
        grown = disk.fill_space().astype(np.float32)
        if fixed is not None:
            present = np.stack([at[fixed[0] == number].tolist() for at in fixed[1:]], axis=1)
            grown = grown[cKDTree(present).query(grown)[0] >= 1]
        fields.append(np.full(len(grown), number))
        points.append(grown)
    y, x = np.concatenate(points).T
    field, y, x = (make.array(values) for values in (np.concatenate(fields), y.copy(), x.copy()))
    return field, y, x


class _Grid:
    """The points of all fields on one flat grid of cells, each with at most one point."""

    def __init__(self, n_fields: int, rows: int, columns: int, make: ArrayMaker) -> None:
        self.n_fields, self.rows, self.columns = n_fields, rows, columns
        self.make = make
        size = n_fields * rows * columns
        self.y = make.full(size, _FAR_AWAY)
        self.x = make.full(size, _FAR_AWAY)
        self.earliest = make.full(size, _LAST)
        self.neighbours = make.array([i * columns + j for i, j in _NEIGHBOURS])
        self.stamp = make.arange(2 * _REACH + 1) - _REACH
        self.stamp_subcells = self.stamp[:, None] * (_CUT * columns) + self.stamp

    def subcells_inside(self, height: Frames, width: Frames) -> Frames:
        """Return a mask of the subcells of the flat grid that lie in their field."""
        down, right = (
            (subcell >= 0) & (subcell * _SUBCELL < side[:, None])
            for subcell, side in (
                (self.make.arange(_CUT * self.rows) - _CUT * _RIM, height),
                (self.make.arange(_CUT * self.columns) - _CUT * _RIM, width),
            )
        )
        return (down[:, :, None] & right[:, None, :]).reshape(-1)

    def positions(self, subcell: Frames, down: Frames, right: Frames) -> Points:
        """Return field, y and x of points at these fractions (0 to 1) of their subcells."""
        row, column = subcell // (_CUT * self.columns), subcell % (_CUT * self.columns)
        field, row = row // (_CUT * self.rows), row % (_CUT * self.rows)
        y, x = (
            self.make.float32((offset + (at - _CUT * _RIM)) * _SUBCELL)
            for offset, at in ((down, row), (right, column))
        )
        return field, y, x

    def _cell(self, field: Frames, y: Frames, x: Frames) -> Frames:
        row, column = (self.make.int64(at / _CELL) + _RIM for at in (y, x))
        return (field * self.rows + row) * self.columns + column

    def add(self, field: Frames, y: Frames, x: Frames) -> None:
        """Add points to the grid."""
        cell = self._cell(field, y, x)
        self.y[cell] = y
        self.x[cell] = x

    def _is_free(self, cell: Frames, y: Frames, x: Frames) -> Frames:
        """Return a mask of the candidates that no point of the grid is too close to."""
        around = cell[:, None] + self.neighbours
        close = (y[:, None] - self.y[around]) ** 2 + (x[:, None] - self.x[around]) ** 2 < 1
        return ~close.any(1)

    def accept(self, field: Frames, y: Frames, x: Frames, order: Frames) -> Frames:
        """Add the candidates that are accepted in this order, and return their indices."""
        cell = self._cell(field, y, x)
        waiting = self.make.flatnonzero(self._is_free(cell, y, x))
        accepted = []
        while len(waiting):
            at, turn = cell[waiting], order[waiting]
            self.make.minimum_at(self.earliest, at, turn)
            around = self.earliest[at[:, None] + self.neighbours]
            is_first = namespace(y).amin(around, axis=1) == turn
            self.earliest[at] = _LAST
            now, waiting = waiting[is_first], waiting[~is_first]
            accepted.append(now)
            self.add(field[now], y[now], x[now])
            waiting = waiting[self._is_free(cell[waiting], y[waiting], x[waiting])]
        return namespace(y).concatenate(accepted) if accepted else order[:0]

    def cover(self, free: Frames, field: Frames, y: Frames, x: Frames) -> None:
        """Mark as not free the subcells that lie wholly within 1 of these points."""
        row, column = (self.make.int64(at / _SUBCELL) for at in (y, x))
        down, right = (
            ((at + 0.5) * _SUBCELL - position)[:, None] + self.stamp * _SUBCELL
            for at, position in ((row, y), (column, x))
        )
        covered = (down**2)[:, :, None] + (right**2)[:, None, :] < _COVERED_RADIUS**2
        row = field * self.rows * _CUT + row + _CUT * _RIM
        subcell = row * (_CUT * self.columns) + column + _CUT * _RIM
        free[(subcell[:, None, None] + self.stamp_subcells)[covered]] = False
