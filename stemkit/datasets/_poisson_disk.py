"""Poisson-disk positions by dart throwing, in many fields at once, on arrays and on tensors.

Darts come down evenly, one after the other, and a dart stays unless one that stayed before lies
within the minimal distance. Which of them stay follows from their order alone, so all darts that no
undecided neighbour precedes are decided together: the law of throwing one by one, without a loop
over points. SciPy's ``PoissonDisk`` grows its points from each other instead, which gives the same
density and distances to the nearest neighbour but another pair correlation beyond, and takes some
two hundred times as long.
"""

from __future__ import annotations

import math

from stemkit._arrays import Frames, Generator, namespace, uniform

from ._device_arrays import DeviceArrays, device_of

# Lengths are in units of the minimal distance. A cell with a diagonal of 1 holds at most one point,
# and what lies within reach of a point lies in its cell or in one of the 20 around it.
_CELL = math.sqrt(0.5)
_NEAR = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if abs(i) + abs(j) < 4]
_RIM = 2
# Each cell is cut into 3 x 3 spots. No dart at a spot that lies wholly within reach of a point
# could stay, so none are thrown there.
_CUT = 3
_SPOT = _CELL / _CUT
_COVERED = 1 - _SPOT * math.sqrt(0.5)
_REACH = math.floor(_COVERED / _SPOT + 0.5)
# Darts thrown per unit of area. Together as many as it takes to come out as dense as SciPy's; in
# volleys, since what is covered by then is known in between.
_VOLLEYS = (0.5, 1.0, 2.0, 3.0, 4.75)
_NOWHERE = 1e6
_NEVER = 2**62

# Points per area of the square of the minimal distance that the darts come to.
DENSITY = 0.598


def throw_darts(
    height: Frames,
    width: Frames,
    generator: Generator,
    *,
    fixed: tuple[Frames, Frames, Frames] | None = None,
) -> tuple[Frames, Frames, Frames]:
    """Throw darts into fields until each is about as full as ``scipy.stats.qmc.PoissonDisk``.

    Parameters
    ----------
    height, width : ndarray or torch.Tensor of shape (n_fields,), float32
        Extents of the fields in units of the minimal distance. A field may come out larger by less
        than a quarter of that distance.
    generator : numpy.random.Generator or torch.Generator
        Source of the darts.
    fixed : tuple of arrays (field, y, x), optional
        Points that are there already, inside the fields and no closer to each other than 1.

    Returns
    -------
    field, y, x : ndarray or torch.Tensor of shape (n_points,)
        The darts that stayed, without the fixed points: the number of the field, and where they
        lie in it, from 0.
    """
    xp, device = namespace(height), device_of(height)
    # One cell more than the field has: rounding can take a dart at its very end to the next cell.
    rows, columns = (
        math.ceil(float(side.max()) / _CELL) + 2 * _RIM + 1 for side in (height, width)
    )
    board = _Board(len(height), rows, columns, device)
    live = board.spots_inside(height, width)
    if fixed is not None:
        board.place(*fixed)
        board.cover(live, *fixed)
    found = []
    for number, volley in enumerate(_VOLLEYS):
        targets = device.flatnonzero(live)
        n_darts = device.poisson(volley * _SPOT**2 * len(targets), generator)
        if not n_darts:
            continue
        hit = targets[device.integers(len(targets), n_darts, generator)]
        down, right = uniform(height, (2, n_darts), generator)
        field, y, x = board.positions(hit, down, right)
        stay = board.settle(field, y, x, device.permutation(n_darts, generator))
        darts = field[stay], y[stay], x[stay]
        found.append(darts)
        if number < len(_VOLLEYS) - 1:
            board.cover(live, *darts)
    if not found:
        return xp.zeros_like(height[:0], dtype=xp.int64), height[:0], width[:0]
    return tuple(xp.concatenate(parts) for parts in zip(*found, strict=True))


class _Board:
    """The points of all fields on one flat grid of cells, each at most one."""

    def __init__(self, n_fields: int, rows: int, columns: int, device: DeviceArrays) -> None:
        self.n_fields, self.rows, self.columns = n_fields, rows, columns
        self.device = device
        size = n_fields * rows * columns
        self.y = device.full(size, _NOWHERE)
        self.x = device.full(size, _NOWHERE)
        self.first = device.full(size, _NEVER)
        self.near = device.array([i * columns + j for i, j in _NEAR])
        self.stamp = device.arange(2 * _REACH + 1) - _REACH
        self.stamp_spots = self.stamp[:, None] * (_CUT * columns) + self.stamp

    def spots_inside(self, height: Frames, width: Frames) -> Frames:
        """Tell which spots of the flat grid lie in their field, as a mask."""
        down, right = (
            (spot >= 0) & (spot * _SPOT < side[:, None])
            for spot, side in (
                (self.device.arange(_CUT * self.rows) - _CUT * _RIM, height),
                (self.device.arange(_CUT * self.columns) - _CUT * _RIM, width),
            )
        )
        return (down[:, :, None] & right[:, None, :]).reshape(-1)

    def positions(self, spot: Frames, down: Frames, right: Frames) -> tuple[Frames, Frames, Frames]:
        """Return field, y and x of darts that are that far down and right in their spots."""
        row, column = spot // (_CUT * self.columns), spot % (_CUT * self.columns)
        field, row = row // (_CUT * self.rows), row % (_CUT * self.rows)
        place = [
            (offset + (at - _CUT * _RIM)) * _SPOT for offset, at in ((down, row), (right, column))
        ]
        return field, *(self.device.float32(p) for p in place)

    def _cell(self, field: Frames, y: Frames, x: Frames) -> Frames:
        row, column = (self.device.int64(at / _CELL) + _RIM for at in (y, x))
        return (field * self.rows + row) * self.columns + column

    def place(self, field: Frames, y: Frames, x: Frames) -> None:
        """Put points on the board."""
        cell = self._cell(field, y, x)
        self.y[cell] = y
        self.x[cell] = x

    def _free(self, cell: Frames, y: Frames, x: Frames) -> Frames:
        """Tell which darts no point on the board is too close to."""
        around = cell[:, None] + self.near
        close = (y[:, None] - self.y[around]) ** 2 + (x[:, None] - self.x[around]) ** 2 < 1
        return ~close.any(1)

    def settle(self, field: Frames, y: Frames, x: Frames, order: Frames) -> Frames:
        """Put on the board the darts that stay when they come down in this order; say which."""
        cell = self._cell(field, y, x)
        waiting = self.device.flatnonzero(self._free(cell, y, x))
        stay = []
        while len(waiting):
            at, turn = cell[waiting], order[waiting]
            self.device.lower(self.first, at, turn)
            wins = namespace(y).amin(self.first[at[:, None] + self.near], axis=1) == turn
            self.first[at] = _NEVER
            now, waiting = waiting[wins], waiting[~wins]
            stay.append(now)
            self.place(field[now], y[now], x[now])
            waiting = waiting[self._free(cell[waiting], y[waiting], x[waiting])]
        return namespace(y).concatenate(stay) if stay else order[:0]

    def cover(self, live: Frames, field: Frames, y: Frames, x: Frames) -> None:
        """Take from the live spots those that lie wholly within reach of these points."""
        row, column = (self.device.int64(at / _SPOT) for at in (y, x))
        down, right = (
            ((at + 0.5) * _SPOT - where)[:, None] + self.stamp * _SPOT
            for at, where in ((row, y), (column, x))
        )
        covered = (down**2)[:, :, None] + (right**2)[:, None, :] < _COVERED**2
        row = field * self.rows * _CUT + row + _CUT * _RIM
        spot = row * (_CUT * self.columns) + column + _CUT * _RIM
        live[(spot[:, None, None] + self.stamp_spots)[covered]] = False
