"""Least-squares fit of overlapping Gaussians on a background, for all atoms of a frame at once.

First, a coarse fit: every atom is fitted in a window of its own, together with overlapping
neighbours and a constant background, to the frame minus all other atoms. Each window moves its own
atom only, all at the same time, and the residual frame is computed again, until the atoms hardly
move: a restricted additive Schwarz method. Windows with the same number of neighbours form one
batch of small dense matrices, without a loop over atoms. Then, in a fine fit, all atoms are moved
together, which removes the errors that neighbours pass on to each other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .._scene import Scene, render_columns
from ._joint import Background, joint_step
from ._peaks import pixels_with_data, white_noise
from ._windows import Atoms, WindowBatch

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.intp]
Solved = tuple[IntArray, Float64Array, Float64Array]

# In units of the expected sigma: half the side of a window, the largest distance of a neighbour
# that is fitted together, and the largest shift of an atom from its start.
_WINDOW = 3.0
_NEIGHBOR = 3.5
_MOVE = 1.0
_MAX_NEIGHBORS = 8
# Limits of an atom's sigma relative to the expected one, and its standard deviation around it: in
# crowds with strong noise, the frame alone does not determine the widths.
_SIGMA_RANGE = (0.5, 2.0)
_SIGMA_SCATTER = 0.15
_MAX_SWEEPS, _SMOOTH_SWEEPS = 24, 4
# A sweep that increases the sum of squares by more than this factor is undone.
_MAX_INCREASE = 1.05
_ERRORS = ("amplitude_err", "y_err", "x_err", "sigma_err", "background_err")
# Sweeps stop when no atom moves by more, in px and relative to its standard error.
_COARSE_STEP = 1e-2, 0.1
# Joint steps stop when they decrease the sum of squares by less than this share, the change if each
# parameter moves by a tenth of its standard error.
_MAX_STEPS, _MIN_DECREASE = 10, 1e-3
# If a step increases the sum of squares, shorter ones are tried.
_STEP_LENGTHS = 1.0, 0.5, 0.2
# Smallest variance of a pixel relative to the mean: the noise model is not more precise.
_MIN_VARIANCE = 0.03
# Largest leverage of a pixel: in crowds the residual would not determine the noise otherwise.
_MAX_LEVERAGE = 0.5
# Smallest noise relative to the range of values, due to single precision.
_MIN_NOISE = 1e-6
# Number of windows solved at once, which limits the working memory.
_CHUNK = 64


def fit_coarsely(
    frame: Float64Array, candidates: Atoms, sigma: float
) -> tuple[Atoms, Float64Array]:
    """Fit Gaussians to a tenth of their standard errors, without weights.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        The frame; masked pixels have no influence.
    candidates : Atoms
        Approximate positions and amplitudes.
    sigma : float
        Expected standard deviation of an atom, in px.

    Returns
    -------
    Atoms
        In the order of `candidates`, with standard errors.
    ndarray of shape (H, W)
        Variance of each pixel's residual, which may grow linearly with the signal.
    """
    atoms = candidates.take(np.arange(len(candidates)))
    variance = np.full(frame.shape, white_noise(frame) ** 2)
    if len(atoms) == 0:
        return atoms, variance
    frame, known = np.ma.getdata(frame), pixels_with_data(frame)
    smooth = Background(sigma, known)
    start, neighbors, batches = _windows(atoms, sigma, frame.shape)
    _relax(atoms, frame, _or_unknown(variance, known), start, batches, neighbors, sigma, smooth)
    residual, _ = _residual(atoms, frame, smooth)
    return atoms, _fit_variance(residual, frame - residual, known)


def fit_atoms(frame: Float64Array, atoms: Atoms, sigma: float) -> Atoms:
    """Fit Gaussians all together, weighted by the noise of the residual.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        The frame; masked pixels have no influence.
    atoms : Atoms
        The result of `fit_coarsely`.
    sigma : float
        Expected standard deviation of an atom, in px.

    Returns
    -------
    Atoms
        In the same order, with the standard errors that follow from the variance.
    """
    if len(atoms) == 0:
        return atoms
    frame, known = np.ma.getdata(frame), pixels_with_data(frame)
    smooth = Background(sigma, known)
    start, _, batches = _windows(atoms, sigma, frame.shape)
    every = np.arange(len(atoms))
    residual, background = _residual(atoms, frame, smooth)
    freedom = np.sqrt(1 - _leverage(atoms, frame.shape))

    def variance_of(residual: Float64Array) -> Float64Array:
        return _or_unknown(_fit_variance(residual / freedom, frame - residual, known), known)

    for _ in range(_MAX_STEPS):
        variance = variance_of(residual)
        cost = np.mean(residual**2 / variance)
        step = joint_step(atoms, residual, variance, sigma, _SIGMA_SCATTER * sigma, smooth)
        for length in _STEP_LENGTHS:
            moved = atoms.take(every)
            _advance(moved, every, length * step, start, sigma)
            new_residual, new_background = _residual(moved, frame, smooth)
            new_cost = np.mean(new_residual**2 / variance)
            if new_cost < cost:
                atoms, residual, background = moved, new_residual, new_background
                break
        if new_cost > (1 - _MIN_DECREASE) * cost:
            break
    variance = variance_of(residual)
    solved = _solve(batches, atoms, residual, variance, sigma, np.ones(len(atoms), dtype=bool))
    _write_errors(atoms, solved, background)
    return atoms


def _windows(
    atoms: Atoms, sigma: float, shape: tuple[int, ...]
) -> tuple[Float64Array, IntArray, list[WindowBatch]]:
    """Return the atoms' start positions, their neighbours, and the windows around them."""
    start = np.stack([atoms.y, atoms.x], axis=1)
    neighbors = _find_neighbors(start, _NEIGHBOR * sigma)
    radius = int(np.ceil(_WINDOW * sigma))
    count = (neighbors >= 0).sum(axis=1)
    batches = [
        WindowBatch(start, np.flatnonzero(count == k), neighbors, radius, shape)
        for k in np.unique(count)
    ]
    return start, neighbors, batches


def _or_unknown(variance: Float64Array, known: NDArray[np.bool_] | None) -> Float64Array:
    """Return the variance of pixels, infinite where there are no data."""
    return variance if known is None else np.where(known, variance, np.inf)


def _residual(
    atoms: Atoms, frame: Float64Array, smooth: Background
) -> tuple[Float64Array, Float64Array]:
    """Return the frame minus atoms and a smooth background, and that background."""
    residual = frame - atoms.draw(frame.shape)
    background = smooth(residual)
    return residual - background, background


def _relax(
    atoms: Atoms,
    frame: Float64Array,
    variance: Float64Array,
    start: Float64Array,
    batches: list[WindowBatch],
    neighbors: IntArray,
    sigma: float,
    smooth: Background,
) -> None:
    """Move all atoms in place, with their backgrounds and errors, until none moves any more."""
    active = np.ones(len(atoms), dtype=bool)
    residual, background = _residual(atoms, frame, smooth)
    length, cost = 1.0, np.mean(residual**2 / variance)
    for sweep in range(_MAX_SWEEPS):
        before = atoms.take(active)
        # All steps start from the same state, so that the order of the atoms has no effect.
        solved = _solve(batches, atoms, residual, variance, sigma, active)
        _write_errors(atoms, solved, background)
        members, step, _ = solved
        _advance(atoms, members, length * step, start, sigma)
        after = atoms.take(active)
        if sweep < _SMOOTH_SWEEPS:
            new_residual, new_background = _residual(atoms, frame, smooth)
        else:
            # Few atoms still move, and the background hardly does.
            negative = replace(after, amplitude=-after.amplitude)
            new_residual = residual + before.join(negative).draw(frame.shape)
            new_background = background
        new_cost = np.mean(new_residual**2 / variance)
        if new_cost > _MAX_INCREASE * cost:
            # Crowded atoms that all step at once may step too far: undo, and use shorter steps.
            atoms.put(active, before)
            length /= 2
            continue
        residual, background, cost = new_residual, new_background, new_cost
        change = np.zeros(len(atoms))
        change[active] = np.abs(
            [after.y - before.y, after.x - before.x, after.sigma - before.sigma]
        ).max(axis=0)
        moved = change > length * (
            _COARSE_STEP[0] + _COARSE_STEP[1] * np.minimum(atoms.y_err, sigma)
        )
        active = moved | (moved[neighbors] & (neighbors >= 0)).any(axis=1)
        if not active.any():
            break
        if sweep == _MAX_SWEEPS // 3:
            # Two neighbours may oscillate for ever unless they take shorter steps.
            length /= 2


def _solve(
    batches: list[WindowBatch],
    atoms: Atoms,
    residual: Float64Array,
    variance: Float64Array,
    sigma: float,
    active: NDArray[np.bool_],
) -> Solved:
    """Return the indices of the active atoms, and the steps and errors of their windows."""
    expected = (sigma, _SIGMA_SCATTER * sigma)
    solved = []
    for batch in batches:
        on = np.flatnonzero(active[batch.members])
        for first in range(0, len(on), _CHUNK):
            chunk = on[first : first + _CHUNK]
            step, error = batch.solve(atoms, residual, variance, expected, chunk)
            solved.append((batch.members[chunk], step, error))
    members, steps, errors = zip(*solved, strict=True)
    return np.concatenate(members), np.concatenate(steps), np.concatenate(errors)


def _write_errors(atoms: Atoms, solved: Solved, background: Float64Array) -> None:
    """Write the backgrounds and standard errors into the atoms."""
    members, step, error = solved
    near = [
        np.rint(at[members]).astype(int).clip(0, length - 1)
        for at, length in zip((atoms.y, atoms.x), background.shape, strict=True)
    ]
    atoms.background[members] = step[:, 4] + background[tuple(near)]
    for name, values in zip(_ERRORS, error.T, strict=True):
        getattr(atoms, name)[members] = values


def _find_neighbors(points: Float64Array, reach: float) -> IntArray:
    """Return the indices (n, k) of the nearest other atoms within reach, and -1 for none."""
    k = min(_MAX_NEIGHBORS, len(points) - 1) + 1
    distance, index = KDTree(points).query(points, k=k, distance_upper_bound=reach)
    if k == 1:
        return np.empty((len(points), 0), dtype=np.intp)
    # The nearest one is the atom itself, unless another has the same position.
    own = index == np.arange(len(points))[:, np.newaxis]
    index[own | ~np.isfinite(distance)] = -1
    index = np.take_along_axis(index, np.argsort(index < 0, axis=1, kind="stable"), axis=1)
    return index[:, : max(1, (index >= 0).sum(axis=1).max())]


def _advance(
    atoms: Atoms, members: IntArray, step: Float64Array, start: Float64Array, sigma: float
) -> None:
    """Move atoms by a step in place, within the limits of the linear approximation."""
    # The amplitude stays positive: that of a spurious atom decreases towards zero.
    amplitude = atoms.amplitude[members]
    atoms.amplitude[members] = (amplitude + step[:, 0]).clip(amplitude / 3, 3 * amplitude)
    moved = np.stack([atoms.y[members], atoms.x[members]], axis=1)
    moved += step[:, 1:3].clip(-0.5 * sigma, 0.5 * sigma)
    near = _MOVE * sigma
    atoms.y[members], atoms.x[members] = moved.clip(start[members] - near, start[members] + near).T
    low, high = (share * sigma for share in _SIGMA_RANGE)
    widening = step[:, 3].clip(-0.2 * sigma, 0.2 * sigma)
    atoms.sigma[members] = (atoms.sigma[members] + widening).clip(low, high)


def _leverage(atoms: Atoms, shape: tuple[int, ...]) -> Float64Array:
    """Return the leverage of each pixel: the share of its noise that the atoms' fit absorbs.

    For one atom the leverage of the four parameters is g^2 (2 + u^2) / (pi sigma^2), with g the
    atom at a height of 1 and u the squared distance in sigma. It is approximated by a Gaussian of
    the atom's width with the same peak and the same sum, 4.
    """
    peak = 2 / (np.pi * atoms.sigma**2)
    leverage = render_columns(Scene(atoms.y, atoms.x, peak, atoms.sigma), (shape[0], shape[1]))
    return np.minimum(leverage, _MAX_LEVERAGE, dtype=float)


def _fit_variance(
    residual: Float64Array, signal: Float64Array, known: NDArray[np.bool_] | None = None
) -> Float64Array:
    """Return each pixel's variance, linear in the signal with a slope of at least 0.

    It is fitted to the ``known`` pixels, by default all; that of others is their mean.
    """
    if known is not None:
        variance = np.full(residual.shape, float(np.mean(residual[known] ** 2)))
        variance[known] = _fit_variance(residual[known], signal[known])
        return variance
    square, above = (residual**2).ravel(), (signal - signal.min()).ravel()
    weight = np.ones_like(square)
    mean = square.mean() + (_MIN_NOISE * above.max()) ** 2
    # The second time weighted: the variance of a squared residual is twice its variance squared.
    for _ in range(2):
        center = np.average(above, weights=weight)
        away = weight * (above - center)
        slope = (away @ square) / spread if (spread := away @ above) > 0 else 0.0
        base = np.average(square, weights=weight) - slope * center
        if slope <= 0 or not np.isfinite(slope):
            slope, base = 0.0, mean
        variance = np.maximum(base + slope * above, _MIN_VARIANCE * mean)
        weight = 1 / variance**2
    return variance.reshape(residual.shape)
