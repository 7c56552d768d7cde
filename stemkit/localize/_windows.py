"""Batches of windows around atoms: the linear algebra of a fit."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .._scene import Scene, render_columns

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.intp]

# Levenberg damping relative to each parameter's curvature: it shortens steps, but does not change
# the solution.
_DAMPING = 1e-4
# The parameters of a window's own atom, followed by those of its neighbours, and its background.
_OWN = [0, 1, 2, 3, -1]


@dataclass
class Atoms:
    """Fitted Gaussians of one frame, each array of shape (n_atoms,)."""

    y: Float64Array
    x: Float64Array
    amplitude: Float64Array
    sigma: Float64Array
    background: Float64Array
    y_err: Float64Array
    x_err: Float64Array
    amplitude_err: Float64Array
    sigma_err: Float64Array
    background_err: Float64Array

    def __len__(self) -> int:
        return len(self.y)

    @classmethod
    def at(cls, places: NDArray, amplitude: Float64Array, sigma: float) -> Atoms:
        """Return atoms at places (y, x), before any fit."""
        n = len(places)
        y, x = np.asarray(places, dtype=float).reshape(n, 2).T.copy()
        return cls(y, x, np.array(amplitude, dtype=float), np.full(n, sigma), *np.zeros((6, n)))

    def join(self, other: Atoms) -> Atoms:
        """Return these atoms followed by others."""
        return Atoms(
            *(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self))
        )

    def take(self, chosen: NDArray) -> Atoms:
        """Return the atoms of an index or mask."""
        return Atoms(*(getattr(self, f.name)[chosen] for f in fields(self)))

    def put(self, chosen: NDArray, other: Atoms) -> None:
        """Replace the atoms of an index or mask."""
        for f in fields(self):
            getattr(self, f.name)[chosen] = getattr(other, f.name)

    def draw(self, shape: tuple[int, int]) -> Float64Array:
        """Return a frame of these atoms without background."""
        return render_columns(Scene(self.y, self.x, self.amplitude, self.sigma), shape).astype(
            float
        )


class WindowBatch:
    """A batch of windows, in each of which an atom and its neighbours are fitted.

    Parameters
    ----------
    start : ndarray of shape (n_atoms, 2)
        Positions around which the windows lie.
    members : ndarray of shape (n,)
        Indices of the atoms of this batch.
    neighbors : ndarray of shape (n_atoms, k)
        Indices of all atoms' neighbours, -1 for none; all members have the same number.
    radius : int
        A window is 2 radius + 1 wide.
    shape : tuple of int
        Shape (H, W) of the frame.
    """

    def __init__(
        self,
        start: Float64Array,
        members: IntArray,
        neighbors: IntArray,
        radius: int,
        shape: tuple[int, ...],
    ) -> None:
        self.members = members
        n_neighbors = int((neighbors[members[0]] >= 0).sum())
        self._together = np.column_stack([members, neighbors[members, :n_neighbors]])
        near = np.rint(start[members]).astype(int)[:, :, np.newaxis] + np.arange(
            -radius, radius + 1
        )
        self._rows, self._columns = near[:, 0], near[:, 1]
        rows, columns = self._rows.clip(0, shape[0] - 1), self._columns.clip(0, shape[1] - 1)
        self._pixel = rows[:, :, np.newaxis] * shape[1] + columns[:, np.newaxis]
        self._inside = (rows == self._rows)[:, :, np.newaxis] & (columns == self._columns)[
            :, np.newaxis
        ]

    def solve(
        self,
        atoms: Atoms,
        residual: Float64Array,
        variance: Float64Array,
        expected: tuple[float, float],
        on: IntArray,
    ) -> tuple[Float64Array, Float64Array]:
        """Return the least-squares step of each window's own atom, and its standard errors.

        Parameters
        ----------
        atoms : Atoms
            All atoms of the frame.
        residual, variance : ndarray of shape (H, W)
            The frame minus atoms and background, and the variance of its noise.
        expected : tuple of float
            Expected sigma of an atom, and its standard deviation.
        on : ndarray of shape (n,)
            Indices of the windows of this batch to solve.

        Returns
        -------
        step, error : ndarray of shape (n, 5)
            Of amplitude, y, x and sigma; and the window's background, which is a level, not a step.
        """
        together, pixel = self._together[on], self._pixel[on]
        n, k = together.shape
        sigma = atoms.sigma[together][:, :, np.newaxis]
        dy = (self._rows[on][:, np.newaxis] - atoms.y[together][:, :, np.newaxis]) / sigma
        dx = (self._columns[on][:, np.newaxis] - atoms.x[together][:, :, np.newaxis]) / sigma
        slope = atoms.amplitude[together][:, :, np.newaxis] / sigma
        root = self._inside[on] / np.sqrt(variance.ravel()[pixel])
        # A Gaussian and its derivatives are products along the axes.
        along_y = np.exp(-0.5 * dy**2)
        along_x = np.exp(-0.5 * dx**2)[:, :, np.newaxis] * root[:, np.newaxis]
        tilted_x = dx[:, :, np.newaxis] * along_x
        jacobian = np.empty((n, 4 * k + 1, *pixel.shape[1:]))
        jacobian[:, -1] = root
        # A view: amplitude, y, x and sigma of each atom.
        of_atoms = jacobian[:, : 4 * k].reshape(n, k, 4, *pixel.shape[1:])
        of_atoms[:, :, 0] = along_y[..., np.newaxis] * along_x
        of_atoms[:, :, 1] = (slope * dy * along_y)[..., np.newaxis] * along_x
        of_atoms[:, :, 2] = (slope * along_y)[..., np.newaxis] * tilted_x
        of_atoms[:, :, 3] = (slope * dy**2 * along_y)[..., np.newaxis] * along_x
        of_atoms[:, :, 3] += of_atoms[:, :, 2] * dx[:, :, np.newaxis]
        jacobian = jacobian.reshape(n, 4 * k + 1, -1)
        normal = jacobian @ jacobian.transpose(0, 2, 1)
        gradient = jacobian @ (residual.ravel()[pixel] * root).reshape(n, -1, 1)
        widths, prior = np.arange(3, 4 * k, 4), 1 / expected[1] ** 2
        normal[:, widths, widths] += prior
        gradient[:, widths] += prior * (expected[0] - sigma)
        return _solve(normal, gradient)


def _solve(normal: Float64Array, gradient: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Solve the normal equations; return steps and errors of each window's own atom."""
    # Scaled to a diagonal of 1, so that damping and rounding affect all parameters alike.
    # Parameters that no pixel depends on do not move.
    scale = np.sqrt(normal.diagonal(axis1=1, axis2=2))
    unknown = scale == 0
    scale = np.where(unknown, np.inf, scale)
    normal = normal / (scale[:, :, np.newaxis] * scale[:, np.newaxis])
    diagonal = np.arange(normal.shape[1])
    normal[:, diagonal, diagonal] = 1 + _DAMPING
    sides = np.zeros((*scale.shape, 6))
    sides[:, _OWN, np.arange(5)] = 1.0
    sides[:, :, 5] = gradient[..., 0] / scale
    solution = np.linalg.solve(normal, sides)[:, _OWN]
    step = solution[:, :, 5] / scale[:, _OWN]
    error = np.sqrt(solution[:, np.arange(5), np.arange(5)]) / scale[:, _OWN]
    return step, np.where(unknown[:, _OWN], np.inf, error)
