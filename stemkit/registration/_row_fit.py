"""Paths of the rows of all frames, fitted together to the average that they make.

Each frame is compared with the average of the others, so that its own noise does not attract it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.interpolate import BSpline

from ._row_resampling import Canvas, straighten, turn
from ._strip_search import Reference, noise_variance

Float64Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Columns of a block; every other block is held out.
_BLOCK = 16
# Largest step of a row in px, and the step at which a fit has converged.
_MAX_STEP, _CONVERGED = 2.0, 0.02
_DERIVATIVE = np.array([1, -8, 0, 8, -1]) / 12
_RIDGE = 1e-6
# Limits of the frames' contrast relative to the average's.
_CONTRAST = (0.1, 5.0)


class Expected(NamedTuple):
    """What the other frames let expect of a frame, in its orientation on the canvas."""

    image: Float64Array
    mask: Mask


class Normal(NamedTuple):
    """Normal equations of the displacement of each row: matrices (H, 2, 2), right sides (H, 2)."""

    matrix: Float64Array
    vector: Float64Array

    def __add__(self, other: object) -> Normal:
        assert isinstance(other, Normal)
        return Normal(self.matrix + other.matrix, self.vector + other.vector)

    def gain(self, step: Float64Array) -> float:
        """Return the gain of the log-likelihood by a step (H, 2)."""
        curvature = np.einsum("ra,rab,rb", step, self.matrix, step)
        return float((self.vector * step).sum() - curvature / 2)


class RowFit:
    """Frames on a common canvas, and the path of each.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, H, W)
        Frames without their slow changes of intensity.
    paths : ndarray of shape (n_frames, H, 2)
        Displacement (dy, dx) of each row from the specimen to the frame.
    held : ndarray of shape (n_frames, H, W), bool
        Which pixels hold data.
    turns : ndarray of shape (n_frames,)
        Scan direction of each frame, in degrees.
    averaged : ndarray of shape (n_frames, H), bool, optional
        Rows that take part in the average; all by default.
    """

    def __init__(
        self,
        frames: Float64Array,
        paths: Float64Array,
        held: Mask,
        turns: Float64Array,
        averaged: Mask | None = None,
    ) -> None:
        self.frames, self.paths = frames, paths.copy()
        self.held, self.turns = held, turns.tolist()
        self._use = held if averaged is None else held & averaged[:, :, None]
        self.noise = np.array([noise_variance(frame) for frame in frames])
        shape = (frames.shape[1], frames.shape[2])
        self.canvas = choose_canvas(shape, paths, any(self.turns))
        self._images, self._masks = [], []
        self._sum = np.zeros(self.canvas.shape)
        self._count = np.zeros(self.canvas.shape)
        for index in range(len(frames)):
            image, mask = self._straighten(index)
            self._images.append(image.astype(np.float32))
            self._masks.append(mask)
            self._sum += self._images[-1]
            self._count += mask

    def __len__(self) -> int:
        return len(self.frames)

    def move(self, index: int, path: Float64Array) -> None:
        """Give a frame another path."""
        self.paths[index] = path
        self._sum -= self._images[index]
        self._count -= self._masks[index]
        image, self._masks[index] = self._straighten(index)
        self._images[index] = image.astype(np.float32)
        self._sum += self._images[index]
        self._count += self._masks[index]

    def _straighten(self, index: int) -> tuple[Float64Array, Mask]:
        image, mask = straighten(
            self.frames[index], self.paths[index], self.canvas, use=self._use[index]
        )
        angle = self.turns[index]
        return (turn(image, -angle), turn(mask, -angle)) if angle else (image, mask)

    def others(self, index: int) -> Reference:
        """Return the average of the other frames, in the orientation of a frame."""
        count = self._count - self._masks[index]
        mask = count > 0.5
        image = np.where(mask, (self._sum - self._images[index]) / np.maximum(count, 1), 0.0)
        typical = max(float(count[mask].mean()), 1.0) if mask.any() else 1.0
        angle = self.turns[index]
        if angle:
            image, mask = turn(image, angle), turn(mask, angle)
        return Reference(image, mask, float(np.median(self.noise)) / typical, self.canvas.margin)

    def expected(self, index: int) -> Expected:
        """Return what the others let expect of a frame: their average, by a Wiener filter."""
        average = self.others(index)
        spectrum = fft.rfft2(average.image)
        power = np.abs(spectrum) ** 2 / max(int(average.mask.sum()), 1)
        power = ndimage.gaussian_filter(power, 1.2, mode=("wrap", "reflect"))
        share = np.maximum(power - average.noise, 0) / np.maximum(power, np.finfo(float).tiny)
        return Expected(fft.irfft2(spectrum * share, average.image.shape), average.mask)

    def linearise(
        self, index: int, expected: Expected, path: Float64Array
    ) -> tuple[Normal, Normal]:
        """Return the normal equations from the even and from the odd blocks of columns."""
        points = self._points(path)
        image = expected.image
        slopes = [ndimage.correlate1d(image, _DERIVATIVE, axis=axis) for axis in (0, 1)]
        model = ndimage.map_coordinates(image, points, order=3)
        known = self._known(index, expected, points)
        frame = self.frames[index]
        contrast = _contrast(frame, model, known)
        rest = np.where(known, frame - contrast * model, 0)
        # A point that moves down is seen in lower rows: the model is what lies above.
        down, right = (
            -contrast * known * ndimage.map_coordinates(slope, points, order=1) for slope in slopes
        )
        share = max(float(known.mean()), 1 / known.size)
        noise = max(self.noise[index], float(np.mean(rest**2)) / share)
        halves = []
        for part in _halves(frame.shape[1]):
            a, b, c = down[:, part], right[:, part], rest[:, part]
            mixed = (a * b).sum(1)
            matrix = np.stack([(a * a).sum(1), mixed, mixed, (b * b).sum(1)], -1)
            vector = np.stack([(a * c).sum(1), (b * c).sum(1)], -1)
            halves.append(Normal(matrix.reshape(-1, 2, 2) / noise, vector / noise))
        return halves[0], halves[1]

    def likelihood(self, index: int, expected: Expected, path: Float64Array) -> float:
        """Return how much likelier a frame is with the specimen than without, as a logarithm."""
        points = self._points(path)
        model = ndimage.map_coordinates(expected.image, points, order=3)
        known = self._known(index, expected, points)
        frame = self.frames[index]
        model = _contrast(frame, model, known) * model
        return float(np.sum((frame - model / 2) * model * known) / self.noise[index])

    def shift_likelihoods(
        self, index: int, expected: Expected, path: Float64Array, reach: int, finer: int
    ) -> Float64Array:
        """Return log-likelihoods (2, H, 2 * reach * finer + 1) of shifts of single rows.

        Shifts are along the fast axis, from -reach to reach px; of the even and the odd blocks.
        """
        height, width = self.canvas.frame
        above, left = self.canvas.margin
        row = np.arange(height)[:, None] - path[:, :1] + above
        column = np.arange(-reach, width + reach) - path[:, 1:] + left
        points = [np.broadcast_to(row, column.shape), column]
        known = ndimage.map_coordinates(expected.mask.astype(float), points, order=1) > 0.99
        model = np.where(known, ndimage.map_coordinates(expected.image, points, order=3), 0)
        frame = self.frames[index]
        inner = np.s_[:, reach : reach + width]
        model *= _contrast(frame, model[inner], known[inner])
        length = fft.next_fast_len(width + 2 * reach, True)
        there = fft.rfft(model, length), fft.rfft(model**2 / 2, length)
        result = []
        for part in _halves(width):
            use = part & self.held[index]
            here = fft.rfft(frame * use, length), fft.rfft(use.astype(float), length)
            product = there[0] * here[0].conj() - there[1] * here[1].conj()
            finest = np.zeros((height, finer * length // 2 + 1), dtype=complex)
            finest[:, : product.shape[1]] = product
            values = finer * fft.irfft(finest, finer * length)[:, : 2 * reach * finer + 1]
            result.append(values[:, ::-1] / self.noise[index])
        return np.stack(result)

    def _points(self, path: Float64Array) -> list[Float64Array]:
        """Return where on the canvas the pixels of a frame lie."""
        height, width = self.canvas.frame
        above, left = self.canvas.margin
        row = np.broadcast_to(np.arange(height)[:, None] - path[:, :1] + above, (height, width))
        return [row, np.arange(width) - path[:, 1:] + left]

    def _known(self, index: int, expected: Expected, points: list[Float64Array]) -> Mask:
        known = ndimage.map_coordinates(expected.mask.astype(float), points, order=1) > 0.99
        return known & self.held[index]


def choose_canvas(shape: tuple[int, int], paths: Float64Array, turned: bool) -> Canvas:
    """Return a canvas that holds all frames; a square one if they are turned."""
    # Room for paths that change by a few px in the fit.
    reach = np.ceil(np.abs(paths).max(axis=(0, 1))).astype(int) + 16
    margin = (int(reach[0]), int(reach[1]))
    if turned:
        side = max(side + 2 * int(reach.max()) for side in shape)
        # Frames of an even and an odd side have no common centre on whole pixels.
        margin = ((side - shape[0] + 1) // 2, (side - shape[1] + 1) // 2)
    return Canvas(shape, margin)


def spline_basis(height: int, n_segments: int) -> Float64Array:
    """Return the values (H, n_segments + 3) of cubic B-splines at the rows."""
    ends = [0.0] * 3, [height - 1.0] * 3
    knots = np.concatenate([ends[0], np.linspace(0, height - 1, n_segments + 1), ends[1]])
    return BSpline.design_matrix(np.arange(height, dtype=float), knots, 3).toarray()


def solve(normal: Normal, basis: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Solve for a smooth step of the rows.

    Returns
    -------
    step : ndarray of shape (H, 2)
        Displacement of each row.
    variance : ndarray of shape (H, 2)
        Its variance.
    """
    n = basis.shape[1]
    matrix = np.einsum("ri,rab,rj->aibj", basis, normal.matrix, basis, optimize=True)
    matrix = matrix.reshape(2 * n, 2 * n)
    # Where nothing is seen nothing moves.
    matrix[np.diag_indices_from(matrix)] += _RIDGE * np.trace(matrix) / (2 * n) + 1e-12
    vector = np.einsum("ri,ra->ai", basis, normal.vector).ravel()
    covariance = np.linalg.inv(matrix)
    step = basis @ (covariance @ vector).reshape(2, n).T
    blocks = (covariance[:n, :n], covariance[n:, n:])
    variance = np.stack([np.einsum("ri,ij,rj->r", basis, b, basis) for b in blocks], -1)
    return step, variance


def fit_smooth(fit: RowFit, basis: Float64Array, n_rounds: int) -> None:
    """Fit smooth paths of all frames to their average, by Gauss-Newton steps in turn."""
    damping = (len(fit) - 1) / len(fit)
    for _ in range(n_rounds):
        largest = 0.0
        for index in range(len(fit)):
            step = _smooth_step(fit, index, fit.expected(index), fit.paths[index], basis)
            fit.move(index, fit.paths[index] + damping * step)
            largest = max(largest, float(np.abs(step).max()))
        if largest < _CONVERGED:
            break


def polish(
    fit: RowFit, index: int, expected: Expected, path: Float64Array, basis: Float64Array
) -> Float64Array:
    """Fit the path of one frame, while the others stay."""
    for _ in range(4):
        step = _smooth_step(fit, index, expected, path, basis)
        path = path + step
        if np.abs(step).max() < _CONVERGED:
            break
    return path


def _smooth_step(
    fit: RowFit, index: int, expected: Expected, path: Float64Array, basis: Float64Array
) -> Float64Array:
    even, odd = fit.linearise(index, expected, path)
    return np.clip(solve(even + odd, basis)[0], -_MAX_STEP, _MAX_STEP)


def _contrast(frame: Float64Array, model: Float64Array, known: Mask) -> float:
    """Return the factor by which a model fits a frame best."""
    power = float(np.sum(model**2 * known))
    if power == 0:
        return 1.0
    return float(np.clip(np.sum(frame * model * known) / power, *_CONTRAST))


def _halves(width: int) -> tuple[Mask, Mask]:
    even = np.arange(width) // _BLOCK % 2 == 0
    return even, ~even
