"""Resampling of frames whose rows were displaced, one by one, onto the grid of the specimen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, ndimage

Float64Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Weight of the second differences of the spline along the slow axis, which bridge missing rows.
_STIFFNESS = 0.02
# A row of the specimen is recorded if a row of the frame lies at most so far from it, in px.
_GAP = 1.01
# Rows beyond the grid that are fitted as well, for the sake of those at its border.
_BEYOND = 6


class Canvas(NamedTuple):
    """Grid of the specimen: frames of a shape with margins above and below, and at the sides."""

    frame: tuple[int, int]
    margin: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (H, W) of the grid."""
        (height, width), (above, left) = self.frame, self.margin
        return height + 2 * above, width + 2 * left


def straighten(
    frame: NDArray, path: Float64Array, canvas: Canvas, *, use: Mask | None = None
) -> tuple[Float64Array, Mask]:
    """Resample a frame on the grid of the specimen, by a spline along each axis.

    Along the fast axis each row is interpolated by cubic splines. Along the slow axis a cubic
    spline is fitted to the rows at the places where they were recorded, which need not be in order.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        The recorded frame.
    path : ndarray of shape (H, 2)
        Displacement (dy, dx) of each row from the specimen to the frame, in px.
    canvas : Canvas
        The grid.
    use : ndarray of shape (H, W), bool, optional
        Pixels that hold data; all by default.

    Returns
    -------
    straight : ndarray of the canvas' shape
        0 where the frame holds no data.
    mask : ndarray of the canvas' shape, bool
        Where it does.
    """
    height, width = canvas.shape
    columns = np.arange(width) - canvas.margin[1] + path[:, 1:]
    values, known = _interpolate_rows(frame, columns, use)
    place = np.arange(len(frame)) - path[:, 0] + canvas.margin[0]
    straight, mask = np.zeros(canvas.shape), np.zeros(canvas.shape, dtype=bool)
    first = max(-_BEYOND, int(np.ceil(place.min() - 0.01)))
    last = min(height - 1 + _BEYOND, int(np.floor(place.max() + 0.01)))
    if last < first:
        return straight, mask
    rows = np.arange(first, last + 1)
    near = np.abs(place - rows[:, None]) < _GAP
    missing = near.astype(float) @ (~known).astype(float) > 0
    shown = ~missing & np.any(near, axis=1, keepdims=True)
    # Coefficients reach two rows beyond the spline's ends.
    design = _spline_basis(place - first + 1, len(rows) + 4)
    bend = _STIFFNESS * np.diff(np.eye(len(rows) + 4), 2, axis=0)
    normal = design.T @ design + bend.T @ bend
    normal[np.diag_indices_from(normal)] += 1e-9
    coefficients = linalg.solve(normal, design.T @ values, assume_a="pos")
    fitted = _spline_basis(np.arange(len(rows)) + 1.0, len(rows) + 4) @ coefficients
    inside = (rows >= 0) & (rows < height)
    straight[rows[inside]], mask[rows[inside]] = fitted[inside], shown[inside]
    straight[~mask] = 0
    return straight, mask


def turn(image: NDArray, degrees: float) -> NDArray:
    """Turn a square image about its centre, clockwise as seen on the screen; 0 comes in.

    A frame that is scanned along a direction turned counter-clockwise shows the specimen turned
    clockwise.
    """
    quarters = degrees / 90
    if quarters == round(quarters):
        return np.rot90(image, -round(quarters))
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = (np.array(image.shape) - 1) / 2
    order = 1 if image.dtype == bool else 3
    turned = ndimage.affine_transform(
        image.astype(float), matrix, center - matrix @ center, order=order
    )
    return turned > 0.99 if image.dtype == bool else turned


def _interpolate_rows(
    frame: NDArray, columns: Float64Array, use: Mask | None
) -> tuple[Float64Array, Mask]:
    """Interpolate each row at columns of its own, with a mask of what it holds."""
    width = frame.shape[1]
    known = (columns >= -1e-6) & (columns <= width - 1 + 1e-6)
    coefficients = ndimage.spline_filter1d(frame.astype(float), 3, axis=1, mode="mirror")
    left = np.floor(columns).astype(int)
    weights = _cubic(columns - left)
    row = np.arange(len(frame))[:, None]
    total = np.zeros(columns.shape)
    for tap, weight in enumerate(weights):
        index = np.abs(left - 1 + tap)
        index = np.where(index > width - 1, 2 * (width - 1) - index, index).clip(0, width - 1)
        total += weight * coefficients[row, index]
    if use is not None:
        nearest = np.rint(columns).astype(int).clip(0, width - 1)
        known = known & use[row, nearest]
    return np.where(known, total, 0.0), known


def _cubic(share: NDArray) -> list[Float64Array]:
    """Return the four values of the cubic B-spline around a place between two knots."""
    rest = 1 - share
    return [
        rest**3 / 6,
        (3 * share**3 - 6 * share**2 + 4) / 6,
        (3 * rest**3 - 6 * rest**2 + 4) / 6,
        share**3 / 6,
    ]


def _spline_basis(place: NDArray, n_coefficients: int) -> Float64Array:
    """Return the values of cubic B-splines on a grid of whole numbers at some places."""
    basis = np.zeros((len(place), n_coefficients))
    left = np.floor(place).astype(int)
    for tap, weight in enumerate(_cubic(place - left)):
        index = left - 1 + tap
        inside = (index >= 0) & (index < n_coefficients)
        basis[np.flatnonzero(inside), index[inside]] += weight[inside]
    return basis
