"""Least-squares fit of overlapping Gaussians on a background, for all atoms of a frame at once.

Every atom is fitted in a window of its own, together with the neighbours that overlap it and a
constant background, to what the other atoms leave of the frame. Only the atom's own step is then
taken, of all atoms at the same time, and the frame that they leave is drawn anew, until nothing
moves: the method of Gauss and Newton with a restricted additive Schwarz preconditioner. Windows
with equally many neighbours are one batch of small dense matrices: nothing loops over atoms.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from ._peaks import white_noise
from ._windows import Atoms, WindowBatch

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.intp]

# In units of the expected sigma: half the side of a window, how near a neighbour is that is fitted
# together, how far an atom may move from where it was seen, and over what the background is smooth.
_WINDOW = 3.0
_NEIGHBOR = 3.5
_MOVE = 1.0
_BACKGROUND = 8.0
_MAX_NEIGHBORS = 8
# An atom's sigma lies within these shares of the expected one, and is believed to scatter around it
# by a share: where atoms crowd and noise is strong, their widths are not told by the frame alone.
_SIGMA_RANGE = (0.5, 2.0)
_SIGMA_SCATTER = 0.15
_MAX_SWEEPS, _SMOOTH_SWEEPS = 24, 4
# A sweep that makes the sum of squares larger by this factor is taken back.
_WORSE = 1.05
_ERRORS = ("amplitude_err", "y_err", "x_err", "sigma_err", "background_err")
# Sweeps stop once no atom moves by more, in px and in shares of its standard error: first roughly,
# then in earnest.
_ROUGH, _CONVERGED = (1e-2, 0.1), (1e-4, 0.03)
# The variance of no pixel counts as less than this share of the mean: the model is not that good.
_MIN_VARIANCE = 0.03
# Nor is noise less than this share of the range of values: single precision has no more.
_MIN_NOISE = 1e-6
# Windows solved at once, which bounds the working memory.
_CHUNK = 64


def fit_atoms(
    frame: Float64Array, seen: Atoms, sigma: float, *, rough: bool = False
) -> tuple[Atoms, Float64Array]:
    """Fit a Gaussian to each of the places where atoms were seen.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        The frame.
    seen : Atoms
        Where and how bright they are, roughly, each within the frame.
    sigma : float
        Expected standard deviation of an atom, in px.
    rough : bool, default=False
        Whether to stop at a tenth of the standard error, and without weights.

    Returns
    -------
    Atoms
        In the order of ``seen``, with the standard errors that follow from the variance.
    ndarray of shape (H, W)
        The variance of each pixel that the fit leaves: it may grow linearly with the signal.
    """
    atoms = seen.take(np.arange(len(seen)))
    variance = np.full(frame.shape, white_noise(frame) ** 2)
    if len(atoms) == 0:
        return atoms, variance
    start = np.stack([atoms.y, atoms.x], axis=1)
    neighbors = _find_neighbors(start, _NEIGHBOR * sigma)
    batches = [
        WindowBatch(start, members, neighbors, int(np.ceil(_WINDOW * sigma)), frame.shape)
        for members in _split(neighbors)
    ]
    # Weights come from the noise that a first, unweighted fit leaves; the last round gives the
    # standard errors the noise of the fit that they belong to.
    expected = (sigma, _SIGMA_SCATTER * sigma)
    for tolerance in (_ROUGH,) if rough else (_ROUGH, _CONVERGED, _CONVERGED):
        _relax(atoms, frame, variance, start, batches, neighbors, expected, tolerance)
        residual, _ = _residual(atoms, frame, sigma)
        variance = _fit_variance(residual, frame - residual)
    return atoms, variance


def _residual(atoms: Atoms, frame: Float64Array, sigma: float) -> tuple[Float64Array, Float64Array]:
    """Return what atoms and a smooth background leave of the frame, and that background."""
    residual = frame - atoms.draw(frame.shape)
    # Twice a box is nearly a Gaussian, and takes no longer where it is wide.
    side = 2 * int(_BACKGROUND * sigma) + 1
    smooth = ndimage.uniform_filter(ndimage.uniform_filter(residual, side), side)
    return residual - smooth, smooth


def _relax(
    atoms: Atoms,
    frame: Float64Array,
    variance: Float64Array,
    start: Float64Array,
    batches: list[WindowBatch],
    neighbors: IntArray,
    expected: tuple[float, float],
    tolerance: tuple[float, float],
) -> None:
    """Move all atoms, and set their backgrounds and errors, until none moves any more."""
    sigma = expected[0]
    near = tuple(np.rint(start).astype(int).clip(0, np.array(frame.shape) - 1).T)
    active = np.ones(len(atoms), dtype=bool)
    residual, smooth = _residual(atoms, frame, sigma)
    share, cost = 1.0, np.mean(residual**2 / variance)
    for sweep in range(_MAX_SWEEPS):
        before = atoms.take(active)
        # All steps are taken from the same state, whatever the order of the atoms.
        solved = []
        for batch in batches:
            on = np.flatnonzero(active[batch.members])
            if on.size:
                members = batch.members[on]
                solved.append((members, *batch.solve(atoms, residual, variance, expected, on)))
        for members, step, error in solved:
            _advance(atoms, members, share * step, start, sigma)
            atoms.background[members] = step[:, 4] + smooth[near][members]
            for name, values in zip(_ERRORS, error.T, strict=True):
                getattr(atoms, name)[members] = values
        after = atoms.take(active)
        if sweep < _SMOOTH_SWEEPS:
            left, new_smooth = _residual(atoms, frame, sigma)
        else:
            # Few still move, and the background no more.
            left = residual + before.draw(frame.shape) - after.draw(frame.shape)
            new_smooth = smooth
        new_cost = np.mean(left**2 / variance)
        if new_cost > _WORSE * cost:
            # Crowded atoms that all step at once may step too far: back, and shorter steps.
            atoms.put(active, before)
            share /= 2
            continue
        residual, smooth, cost = left, new_smooth, new_cost
        change = np.zeros(len(atoms))
        change[active] = np.abs(
            [after.y - before.y, after.x - before.x, after.sigma - before.sigma]
        ).max(axis=0)
        moved = change > share * (tolerance[0] + tolerance[1] * np.minimum(atoms.y_err, sigma))
        active = moved | (moved[neighbors] & (neighbors >= 0)).any(axis=1)
        if not active.any():
            break
        if sweep == _MAX_SWEEPS // 3:
            # Two that pull at each other may swing for ever, unless they take shorter steps.
            share /= 2


def _find_neighbors(points: Float64Array, reach: float) -> IntArray:
    """Return the indices (n, k) of the nearest other atoms within reach, and -1 for none."""
    k = min(_MAX_NEIGHBORS, len(points) - 1) + 1
    distance, index = KDTree(points).query(points, k=k, distance_upper_bound=reach)
    if k == 1:
        return np.empty((len(points), 0), dtype=np.intp)
    # The atom itself is the nearest, unless another lies at the same place.
    own = index == np.arange(len(points))[:, np.newaxis]
    index[own | ~np.isfinite(distance)] = -1
    index = np.take_along_axis(index, np.argsort(index < 0, axis=1, kind="stable"), axis=1)
    return index[:, : max(1, (index >= 0).sum(axis=1).max())]


def _split(neighbors: IntArray) -> Iterator[IntArray]:
    """Split atoms into batches of equally many neighbours."""
    count = (neighbors >= 0).sum(axis=1)
    for k in np.unique(count):
        members = np.flatnonzero(count == k)
        for first in range(0, len(members), _CHUNK):
            yield members[first : first + _CHUNK]


def _advance(
    atoms: Atoms, chunk: IntArray, step: Float64Array, start: Float64Array, sigma: float
) -> None:
    """Take a step, no further than the fit can be trusted."""
    # Never below zero: an atom that is none fades away, and leaves its neighbours theirs.
    amplitude = atoms.amplitude[chunk]
    atoms.amplitude[chunk] = (amplitude + step[:, 0]).clip(amplitude / 3, 3 * amplitude)
    moved = np.stack([atoms.y[chunk], atoms.x[chunk]], axis=1)
    moved += step[:, 1:3].clip(-0.5 * sigma, 0.5 * sigma)
    near = _MOVE * sigma
    atoms.y[chunk], atoms.x[chunk] = moved.clip(start[chunk] - near, start[chunk] + near).T
    low, high = (share * sigma for share in _SIGMA_RANGE)
    turn = step[:, 3].clip(-0.2 * sigma, 0.2 * sigma)
    atoms.sigma[chunk] = (atoms.sigma[chunk] + turn).clip(low, high)


def _fit_variance(residual: Float64Array, signal: Float64Array) -> Float64Array:
    """Return each pixel's variance, linear in the signal and not falling with it."""
    square, above = (residual**2).ravel(), (signal - signal.min()).ravel()
    weight = np.ones_like(square)
    mean = square.mean() + (_MIN_NOISE * above.max()) ** 2
    # The second time with the scatter of a square known: twice the variance, squared.
    for _ in range(2):
        slope, base = np.polyfit(above, square, 1, w=weight) if above.any() else (0.0, mean)
        if slope <= 0 or not np.isfinite(slope):
            slope, base = 0.0, mean
        variance = np.maximum(base + slope * above, _MIN_VARIANCE * mean)
        weight = 1 / variance
    return variance.reshape(residual.shape)
