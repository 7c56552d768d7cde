"""Least-squares fit of overlapping Gaussians on a background, for all atoms of a frame at once.

First, from afar: every atom is fitted in a window of its own, together with the neighbours that
overlap it and a constant background, to what the other atoms leave of the frame. Only the atom's
own step is then taken, of all atoms at the same time, and the frame that they leave is drawn anew,
until little moves: a restricted additive Schwarz method. Windows with equally many neighbours are
one batch of small dense matrices: nothing loops over atoms. Then, from near, all atoms are fitted
together, which settles what neighbours hand on to each other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .._scene import Scene, render_columns
from ._joint import joint_step, smooth
from ._peaks import white_noise
from ._windows import Atoms, WindowBatch

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.intp]
Solved = tuple[IntArray, Float64Array, Float64Array]

# In units of the expected sigma: half the side of a window, how near a neighbour is that is fitted
# together, and how far an atom may move from where it was seen.
_WINDOW = 3.0
_NEIGHBOR = 3.5
_MOVE = 1.0
_MAX_NEIGHBORS = 8
# An atom's sigma lies within these shares of the expected one, and is believed to scatter around it
# by a share: where atoms crowd and noise is strong, their widths are not told by the frame alone.
_SIGMA_RANGE = (0.5, 2.0)
_SIGMA_SCATTER = 0.15
_MAX_SWEEPS, _SMOOTH_SWEEPS = 24, 4
# A sweep that makes the sum of squares larger by this factor is taken back.
_WORSE = 1.05
_ERRORS = ("amplitude_err", "y_err", "x_err", "sigma_err", "background_err")
# Sweeps stop once no atom moves by more, in px and in shares of its standard error.
_ROUGH = 1e-2, 0.1
# Joint steps stop once they lessen the sum of squares by less than this share: that is how much it
# changes where each parameter moves by a tenth of its standard error.
_MAX_STEPS, _SETTLED = 10, 1e-3
# A step that makes it larger was too long.
_SHARES = 1.0, 0.5, 0.2
# The variance of no pixel counts as less than this share of the mean: the model is not that good.
_MIN_VARIANCE = 0.03
# In crowds a fit could take all, and nothing would be left to tell the noise by.
_MOST_TAKEN = 0.5
# Nor is noise less than this share of the range of values: single precision has no more.
_MIN_NOISE = 1e-6
# Windows solved at once, which bounds the working memory.
_CHUNK = 64


def sketch_atoms(frame: Float64Array, seen: Atoms, sigma: float) -> tuple[Atoms, Float64Array]:
    """Fit Gaussians from afar: to a tenth of their standard errors, and without weights.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        The frame.
    seen : Atoms
        Where and how bright they are, roughly.
    sigma : float
        Expected standard deviation of an atom, in px.

    Returns
    -------
    Atoms
        In the order of ``seen``, with standard errors.
    ndarray of shape (H, W)
        The variance of each pixel that the fit leaves: it may grow linearly with the signal.
    """
    atoms = seen.take(np.arange(len(seen)))
    variance = np.full(frame.shape, white_noise(frame) ** 2)
    if len(atoms) == 0:
        return atoms, variance
    start, neighbors, batches = _windows(atoms, sigma, frame.shape)
    _relax(atoms, frame, variance, start, batches, neighbors, sigma)
    residual, _ = _residual(atoms, frame, sigma)
    return atoms, _fit_variance(residual, frame - residual)


def fit_atoms(frame: Float64Array, atoms: Atoms, sigma: float) -> Atoms:
    """Fit Gaussians from near, all together, weighted with the noise that they leave.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        The frame.
    atoms : Atoms
        As `sketch_atoms` leaves them.
    sigma : float
        Expected standard deviation of an atom, in px.

    Returns
    -------
    Atoms
        In the same order, with the standard errors that follow from the variance.
    """
    if len(atoms) == 0:
        return atoms
    start, _, batches = _windows(atoms, sigma, frame.shape)
    everyone = np.arange(len(atoms))
    residual, background = _residual(atoms, frame, sigma)
    freedom = np.sqrt(1 - _taken(atoms, frame.shape))
    for _ in range(_MAX_STEPS):
        variance = _fit_variance(residual / freedom, frame - residual)
        cost = np.mean(residual**2 / variance)
        step = joint_step(atoms, residual, variance, sigma, _SIGMA_SCATTER * sigma)
        for share in _SHARES:
            moved = atoms.take(everyone)
            _advance(moved, everyone, share * step, start, sigma)
            left, new_background = _residual(moved, frame, sigma)
            new_cost = np.mean(left**2 / variance)
            if new_cost < cost:
                atoms, residual, background = moved, left, new_background
                break
        if new_cost > (1 - _SETTLED) * cost:
            break
    variance = _fit_variance(residual / freedom, frame - residual)
    solved = _solve(batches, atoms, residual, variance, sigma, np.ones(len(atoms), dtype=bool))
    _note(atoms, solved, background)
    return atoms


def _windows(
    atoms: Atoms, sigma: float, shape: tuple[int, ...]
) -> tuple[Float64Array, IntArray, list[WindowBatch]]:
    """Return where atoms start, who their neighbours are, and the windows around them."""
    start = np.stack([atoms.y, atoms.x], axis=1)
    neighbors = _find_neighbors(start, _NEIGHBOR * sigma)
    radius = int(np.ceil(_WINDOW * sigma))
    count = (neighbors >= 0).sum(axis=1)
    batches = [
        WindowBatch(start, np.flatnonzero(count == k), neighbors, radius, shape)
        for k in np.unique(count)
    ]
    return start, neighbors, batches


def _residual(atoms: Atoms, frame: Float64Array, sigma: float) -> tuple[Float64Array, Float64Array]:
    """Return what atoms and a smooth background leave of the frame, and that background."""
    residual = frame - atoms.draw(frame.shape)
    background = smooth(residual, sigma)
    return residual - background, background


def _relax(
    atoms: Atoms,
    frame: Float64Array,
    variance: Float64Array,
    start: Float64Array,
    batches: list[WindowBatch],
    neighbors: IntArray,
    sigma: float,
) -> None:
    """Move all atoms, and set their backgrounds and errors, until none moves any more."""
    active = np.ones(len(atoms), dtype=bool)
    residual, background = _residual(atoms, frame, sigma)
    share, cost = 1.0, np.mean(residual**2 / variance)
    for sweep in range(_MAX_SWEEPS):
        before = atoms.take(active)
        # All steps are taken from the same state, whatever the order of the atoms.
        solved = _solve(batches, atoms, residual, variance, sigma, active)
        _note(atoms, solved, background)
        members, step, _ = solved
        _advance(atoms, members, share * step, start, sigma)
        after = atoms.take(active)
        if sweep < _SMOOTH_SWEEPS:
            left, new_background = _residual(atoms, frame, sigma)
        else:
            # Few still move, and the background no more.
            gone = replace(after, amplitude=-after.amplitude)
            left = residual + before.join(gone).draw(frame.shape)
            new_background = background
        new_cost = np.mean(left**2 / variance)
        if new_cost > _WORSE * cost:
            # Crowded atoms that all step at once may step too far: back, and shorter steps.
            atoms.put(active, before)
            share /= 2
            continue
        residual, background, cost = left, new_background, new_cost
        change = np.zeros(len(atoms))
        change[active] = np.abs(
            [after.y - before.y, after.x - before.x, after.sigma - before.sigma]
        ).max(axis=0)
        moved = change > share * (_ROUGH[0] + _ROUGH[1] * np.minimum(atoms.y_err, sigma))
        active = moved | (moved[neighbors] & (neighbors >= 0)).any(axis=1)
        if not active.any():
            break
        if sweep == _MAX_SWEEPS // 3:
            # Two that pull at each other may swing for ever, unless they take shorter steps.
            share /= 2


def _solve(
    batches: list[WindowBatch],
    atoms: Atoms,
    residual: Float64Array,
    variance: Float64Array,
    sigma: float,
    active: NDArray[np.bool_],
) -> Solved:
    """Return which atoms are active, and the steps and errors of their windows."""
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


def _note(atoms: Atoms, solved: Solved, background: Float64Array) -> None:
    """Set the atoms' backgrounds and standard errors."""
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
    # The atom itself is the nearest, unless another lies at the same place.
    own = index == np.arange(len(points))[:, np.newaxis]
    index[own | ~np.isfinite(distance)] = -1
    index = np.take_along_axis(index, np.argsort(index < 0, axis=1, kind="stable"), axis=1)
    return index[:, : max(1, (index >= 0).sum(axis=1).max())]


def _advance(
    atoms: Atoms, members: IntArray, step: Float64Array, start: Float64Array, sigma: float
) -> None:
    """Take a step, no further than the fit can be trusted."""
    # Never below zero: an atom that is none fades away, and leaves its neighbours theirs.
    amplitude = atoms.amplitude[members]
    atoms.amplitude[members] = (amplitude + step[:, 0]).clip(amplitude / 3, 3 * amplitude)
    moved = np.stack([atoms.y[members], atoms.x[members]], axis=1)
    moved += step[:, 1:3].clip(-0.5 * sigma, 0.5 * sigma)
    near = _MOVE * sigma
    atoms.y[members], atoms.x[members] = moved.clip(start[members] - near, start[members] + near).T
    low, high = (share * sigma for share in _SIGMA_RANGE)
    turn = step[:, 3].clip(-0.2 * sigma, 0.2 * sigma)
    atoms.sigma[members] = (atoms.sigma[members] + turn).clip(low, high)


def _taken(atoms: Atoms, shape: tuple[int, ...]) -> Float64Array:
    """Return the share of each pixel's noise that the fit takes for the atoms.

    For one atom the four parameters' leverage is g^2 (2 + u^2) / (pi sigma^2), with g the atom at a
    height of 1 and u the squared distance in sigma. A Gaussian of the atom's width has its peak and
    its sum, which is 4.
    """
    share = 2 / (np.pi * atoms.sigma**2)
    taken = render_columns(Scene(atoms.y, atoms.x, share, atoms.sigma), (shape[0], shape[1]))
    return np.minimum(taken, _MOST_TAKEN, dtype=float)


def _fit_variance(residual: Float64Array, signal: Float64Array) -> Float64Array:
    """Return each pixel's variance, linear in the signal and not falling with it."""
    square, above = (residual**2).ravel(), (signal - signal.min()).ravel()
    weight = np.ones_like(square)
    mean = square.mean() + (_MIN_NOISE * above.max()) ** 2
    # The second time with the scatter of a square known: twice the variance, squared.
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
