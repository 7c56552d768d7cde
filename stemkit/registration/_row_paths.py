"""Drift within the frames: where each row of each frame was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import ndimage

from .._constraints import Interval, check_arguments
from .._constraints import Sequence as SequenceOf
from .._motion import Motion
from .._repr import short_repr
from .._validation import BAD_PIXELS, BadPixels, check_frames, rescale_to_float32
from ._binning import bin_frame, wide_gaussian_filter
from ._pair import register_frames
from ._reconcile import reconcile
from ._row_fit import (
    RowFit,
    choose_canvas,
    fit_smooth,
    polish,
    solve,
    spline_basis,
)
from ._row_jitter import fit_jitter, measure_jitter
from ._row_resampling import straighten, turn
from ._search_limits import SearchLimits
from ._strip_search import Reference, Strips, find_strips, noise_variance
from ._trajectory_table import frame_pairs

Float64Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_ROWS = 32
# Standard deviation of the high-pass filter, as a share of the shorter side.
HIGH_PASS = 0.08
# Displacements that are tried: this share of the shorter side, and at least so many px.
_REACH_SHARE, _MIN_REACH = 0.2, 32
# A frame is compared with the middle one of the series if so much of both overlaps.
_MIN_OVERLAP = 0.6
_N_SEGMENTS = 8
# Larger frames are binned to this side in px, until their paths are known roughly.
_SIDE = 512
_MORE_SEGMENTS = (16, 32)
# Gain of the held-out log-likelihood for each further coefficient that more segments must bring.
_GAIN = 1.0
# Strips below this probability take no part in the average at first.
_CERTAIN = 0.9
_N_ROUNDS = 4
# Times that strips are located in the average of the other frames, while any is found elsewhere.
_N_SEARCHES = 3
# Change of a path in px from which both are compared.
_OTHER = 2.0
# Jitter in px beyond which a sharp average does not show that rows are right: on a lattice, they
# may be off by parts of it.
_AMBIGUOUS = 2.0
# Standard deviation in rows of the smoothing of what all frames share.
_SHARED = 2.0


@dataclass(frozen=True, eq=False, repr=False)
class RowPaths:
    """Where each row of each frame of a series was recorded.

    A point s of the specimen is seen in frame k in the row r = s_y + path[k, r, 0] and the column
    s_x + path[k, r, 1]. What all frames share can't be seen in a series: it is fixed by a straight
    mean path, and by the middle row of the first frame, whose displacement is 0. Frames whose scan
    direction differs show what each other's direction can't; only the place of the specimen is
    fixed for these.

    Attributes
    ----------
    path : ndarray of shape (n_frames, H, 2)
        Displacement (dy, dx) of each row in px.
    stderr : ndarray of shape (n_frames, H, 2)
        Standard error of the displacement in px, if it is not off by a lattice vector.
    probability : ndarray of shape (n_frames, H)
        Probability that a row is not off by a lattice vector or by chance.
    jitter : float
        Standard deviation in px of the random shift of single rows; 0 if there is none.
    scan_direction : ndarray of shape (n_frames,)
        Scan direction of each frame in degrees, counter-clockwise as seen on the screen.
    """

    path: Float64Array
    stderr: Float64Array
    probability: Float64Array
    jitter: float
    scan_direction: Float64Array

    def __repr__(self) -> str:
        return short_repr(self)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray:
        return np.array(self.path, dtype=dtype, copy=copy)


@check_arguments(
    motions=[SequenceOf(Motion), None],
    max_drift=[Interval(float, 0, 1, closed="neither")],
    bad_pixels=BAD_PIXELS,
)
def register_rows(
    frames: ArrayLike,
    *,
    motions: Sequence[Motion] | None = None,
    scan_direction: ArrayLike | None = None,
    max_drift: float = 0.5,
    bad_pixels: BadPixels = "repair",
) -> RowPaths:
    """Estimate the displacement of each row of the frames of a series.

    A scanning microscope records the rows of a frame one after the other, while the specimen
    drifts. Strips of 8 rows are located in another frame, with the probability of each place. Then
    smooth paths, splines of 8 to 32 segments, are fitted to all frames together, each frame against
    the average of the others, and last the random shift of each row, if columns that are held out
    of the fit gain by it.

    Parameters
    ----------
    frames : array-like of shape (n_frames, H, W)
        A series of at least two frames of at least 32 rows and columns, recorded row by row.
    motions : sequence of Motion, optional
        From the first frame to each, as :func:`reconcile` returns them. By default they are
        estimated, with rotation and shear.
    scan_direction : array-like of shape (n_frames,), optional
        Direction of the fast axis in each frame in degrees, counter-clockwise as seen on the
        screen; 0, along the rows of the first frame, by default. A frame that is scanned at 90
        degrees shows the specimen turned by -90 degrees.
    max_drift : float, default=0.5
        Largest drift between frames along each axis, in shares of the frame's side, unless
        ``motions`` are given.
    bad_pixels : {"repair"} or None, default="repair"
        As for :func:`register`.

    Returns
    -------
    RowPaths
        The paths with their standard errors and probabilities.

    Raises
    ------
    InvalidParameterError
        If an argument is out of range.
    ValueError
        If the frames are fewer than two, too small or not finite, or ``motions`` or
        ``scan_direction`` do not fit them.

    References
    ----------
    .. [1] C. Ophus, J. Ciston and C. T. Nelson, "Correcting nonlinear drift distortion of scanning
       probe and scanning transmission electron microscopies from image pairs with orthogonal scan
       directions", Ultramicroscopy 162 (2016) 1.
    .. [2] L. Jones and P. D. Nellist, "Identifying and correcting scan noise and drift in the
       scanning transmission electron microscope", Microsc. Microanal. 19 (2013) 1050.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.datasets import make_llzo_series
    >>> from stemkit.registration import register_rows
    >>> series = make_llzo_series(3, shape=(128, 128), random_state=0)
    >>> rows = register_rows(series.frames)
    >>> rows.path.shape, bool(np.abs(rows.path[0, 64]).max() < 0.1)
    ((3, 128, 2), True)
    """
    stack = check_frames(frames, name="frames", bad_pixels=bad_pixels)
    stack, _ = rescale_to_float32(stack)
    turns = check_scan_direction(scan_direction, stack.shape)
    check_series(stack)
    if motions is not None and len(motions) != len(stack):
        raise ValueError(
            f"frames holds {len(stack)} frames and motions {len(motions)} motions; "
            f"pass one motion for each frame."
        )
    if motions is None:
        motions = _motions(stack, turns, max_drift)
    return fit_rows(stack, motions, turns)


def check_series(frames: NDArray) -> None:
    """Check that frames are enough, and large enough, for paths of their rows."""
    if len(frames) < 2 or min(frames.shape[1:]) < MIN_ROWS:
        raise ValueError(
            f"The paths of rows need at least two frames of at least {MIN_ROWS} x {MIN_ROWS} px; "
            f"got {len(frames)} of {frames.shape[1]} x {frames.shape[2]}."
        )


def check_scan_direction(scan_direction: ArrayLike | None, shape: tuple[int, ...]) -> Float64Array:
    """Return the scan direction of each frame relative to the first one, in degrees."""
    if scan_direction is None:
        return np.zeros(shape[0])
    try:
        turns = np.asarray(scan_direction, dtype=float)
    except (TypeError, ValueError):
        turns = np.array(np.nan)
    if turns.shape != (shape[0],) or not np.isfinite(turns).all():
        raise ValueError(
            f"scan_direction must be a finite number of degrees for each of the {shape[0]} frames; "
            f"got {scan_direction!r}."
        )
    turns = turns - turns[0]
    if np.any(turns % 360) and (shape[1] - shape[2]) % 2:
        raise ValueError(
            f"Frames of {shape[1]} x {shape[2]} px can't be turned about a common centre; crop a "
            f"row or a column, so that both sides are even or both are odd."
        )
    return turns % 360


def fit_rows(
    frames: NDArray,
    motions: Sequence[Motion],
    turns: Float64Array,
    missing: Mask | None = None,
) -> RowPaths:
    """Return the paths of the rows of frames, of which the motions are known roughly.

    Pixels of ``missing`` (n_frames, H, W) hold no data.
    """
    height = frames.shape[1]
    sigma = max(HIGH_PASS * min(frames.shape[1:]), 3.0)
    detail = np.array([f - wide_gaussian_filter(f, sigma) for f in frames], dtype=np.float64)
    if missing is not None:
        detail[missing] = 0
    blank = np.ptp(detail, axis=(1, 2)) <= 1e-6 * np.abs(frames).max(axis=(1, 2))
    held = np.broadcast_to(~blank[:, None, None], frames.shape)
    if missing is not None:
        held = held & ~missing
    basis = spline_basis(height, _N_SEGMENTS)
    binning = -(-max(frames.shape[1:]) // _SIDE)
    paths, probability = _fit_binned(detail, motions, turns, held, binning)
    fit = RowFit(detail, paths, held, turns)
    if binning > 1:
        fit_smooth(fit, basis, 2)
    jitter = measure_jitter(fit)
    variance = np.empty_like(fit.paths)
    if jitter.gain > 0:
        shifted = fit_jitter(fit, jitter.sigma, basis)
        variance = shifted.variance
        probability = probability * shifted.probability
        if shifted.sigma > _AMBIGUOUS:
            probability = np.minimum(probability, 0.5)
    else:
        basis = _choose_basis(fit, basis)
        fit_smooth(fit, basis, _N_ROUNDS)
        for index in range(len(fit)):
            even, odd = fit.linearise(index, fit.expected(index), fit.paths[index])
            variance[index] = solve(even + odd, basis)[1]
    # The average of the others has noise as well.
    variance *= len(frames) / (len(frames) - 1)
    probability[blank] = 0
    path = fix_gauge(fit.paths, turns)
    return RowPaths(
        path,
        np.sqrt(variance),
        probability,
        shifted.sigma if jitter.gain > 0 else 0.0,
        turns,
    )


def _fit_binned(
    detail: Float64Array,
    motions: Sequence[Motion],
    turns: Float64Array,
    held: Mask,
    binning: int,
) -> tuple[Float64Array, Float64Array]:
    """Return smooth paths (n, H, 2) and their probabilities (n, H), from binned frames."""
    if binning == 1:
        return _fit_from_strips(detail, motions, turns, held)
    height = detail.shape[1]
    small = np.stack([bin_frame(frame.astype(np.float32), binning) for frame in detail])
    shape = (small.shape[1], small.shape[2])
    whole = np.stack([bin_frame(mask.astype(np.float32), binning) == 1 for mask in held])
    moved = [motion.rescaled(1 / binning, shape) for motion in motions]
    coarse, likely = _fit_from_strips(small.astype(float), moved, turns, whole)
    # The middle of a bin is that of its rows.
    rows = (np.arange(height) - (binning - 1) / 2) / binning
    known = np.arange(shape[0])
    paths = np.stack([np.stack([np.interp(rows, known, p) for p in path.T], -1) for path in coarse])
    return binning * paths, np.stack([np.interp(rows, known, p) for p in likely])


def _fit_from_strips(
    detail: Float64Array, motions: Sequence[Motion], turns: Float64Array, held: Mask
) -> tuple[Float64Array, Float64Array]:
    """Return smooth paths (n, H, 2) and their probabilities (n, H)."""
    height = detail.shape[1]
    blank: Mask = ~np.any(held, axis=(1, 2))
    paths, probability = _place_strips(detail, motions, turns, blank)
    basis = spline_basis(height, _N_SEGMENTS)
    # A frame without any certain row is of use as it is.
    certain = (probability > _CERTAIN) | (probability.max(axis=1, keepdims=True) <= _CERTAIN)
    fit = RowFit(detail, paths, held, turns, certain)
    fit_smooth(fit, basis, 3 * _N_ROUNDS)
    for _ in range(_N_SEARCHES):
        found = _strips_again(fit, blank)
        better = {k: _take_better(fit, k, strips, basis) for k, strips in found.items()}
        fit = RowFit(detail, fit.paths, held, turns)
        fit_smooth(fit, basis, 2 * _N_ROUNDS if any(better.values()) else 2)
        for index, strips in found.items():
            again = _agreement(fit.paths[index], strips, height)
            # A path that was found anew owes nothing to the first one.
            first = again if better[index] else probability[index]
            probability[index] = np.minimum(again, first)
        if not any(better.values()):
            break
    return fit.paths, probability


def turn_back(frames: NDArray, turns: Float64Array) -> tuple[NDArray[np.float32], Mask | None]:
    """Turn frames back to the scan direction of the first one, with a mask of what they lack.

    Of frames of unequal sides the central square is taken.
    """
    if not np.any(turns):
        return frames, None
    height, width = frames.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = frames[:, top : top + side, left : left + side]
    upright = np.stack([turn(f, -t) for f, t in zip(square, turns, strict=True)])
    known = np.ones((side, side), dtype=bool)
    missing = ~np.stack([turn(known, -t) for t in turns])
    return upright.astype(np.float32), missing if missing.any() else None


def _motions(frames: NDArray, turns: Float64Array, max_drift: float) -> list[Motion]:
    """Register the frames as a whole, turned back to the direction of the first one."""
    upright, missing = turn_back(frames, turns)
    lacks = [None] * len(frames) if missing is None else list(missing)
    limits = SearchLimits(max_drift=max_drift)
    pairs = {
        (i, j): register_frames(upright[[i, j]], (lacks[i], lacks[j]), "affine", limits)
        for i, j in frame_pairs(len(frames))
    }
    return reconcile(pairs, len(frames)).motions


def _place_strips(
    frames: Float64Array, motions: Sequence[Motion], turns: Float64Array, blank: Mask
) -> tuple[Float64Array, Float64Array]:
    """Return a first path of each frame (n, H, 2), with its probabilities (n, H)."""
    n_frames, height, width = frames.shape
    reach = max(_MIN_REACH, int(_REACH_SHARE * min(height, width)))
    drift = np.array([motion.drift for motion in motions])
    middle = n_frames // 2
    if blank[middle] and not blank.all():
        middle = int(np.flatnonzero(~blank)[np.abs(np.flatnonzero(~blank) - middle).argmin()])
    # Displacements of whole frames, each along its own axes.
    rough = np.stack([_along(d - drift[middle], t) for d, t in zip(drift, turns, strict=True)])
    paths = np.repeat(rough[:, None], height, axis=1)
    probability = np.ones((n_frames, height))
    canvas = choose_canvas((height, width), paths, bool(turns.any()))
    placed: dict[int, Reference] = {}
    distance = np.hypot(*(drift - drift[middle]).T)
    for index in np.argsort(distance, kind="stable").tolist():
        if blank[index]:
            probability[index] = 0
            continue
        if placed:
            nearest = min(placed, key=lambda k: float(np.hypot(*(drift[k] - drift[index]))))
            away = np.abs(drift[index] - drift[middle]) / (height, width)
            source = placed[middle if np.prod(1 - np.minimum(away, 1)) > _MIN_OVERLAP else nearest]
            center = np.rint(rough[index]).astype(int)
            strips = find_strips(frames[index], _turned(source, turns[index]), center, reach)
            paths[index] = smooth_strips(strips, height)
            probability[index] = _of_rows(strips, height)
        image, mask = straighten(frames[index], paths[index], canvas)
        reference = Reference(image, mask, noise_variance(frames[index]), canvas.margin)
        placed[index] = _turned(reference, -turns[index])
    return paths, probability


def _turned(reference: Reference, degrees: float) -> Reference:
    if not degrees % 360:
        return reference
    image, mask = turn(reference.image, degrees), turn(reference.mask, degrees)
    return reference._replace(image=image, mask=mask)


def _along(drift: Float64Array, degrees: float) -> Float64Array:
    """Return a displacement (dy, dx) along the axes of a frame that is scanned in a direction."""
    angle = np.deg2rad(degrees)
    down, right = drift
    return np.array(
        [np.cos(angle) * down + np.sin(angle) * right, np.cos(angle) * right - np.sin(angle) * down]
    )


def smooth_strips(strips: Strips, height: int) -> Float64Array:
    """Fit a spline to the displacements of strips, robustly, and return it for each row."""
    basis = spline_basis(height, _N_SEGMENTS)
    at_strips = basis[np.rint(strips.row).astype(int)]
    stiffness = 0.3 * np.diff(np.eye(basis.shape[1]), 2, axis=0)
    path = np.empty((height, 2))
    for axis in (0, 1):
        values = strips.displacement[:, axis]
        exact = strips.probability**2 / strips.stderr[:, axis] ** 2
        weights = exact
        for _ in range(5):
            root = np.sqrt(weights)
            design = np.concatenate([at_strips * root[:, None], stiffness])
            right = np.concatenate([values * root, np.zeros(len(stiffness))])
            coefficients = np.linalg.lstsq(design, right, rcond=None)[0]
            rest = values - at_strips @ coefficients
            weights = exact / (1 + rest**2) ** 2
        path[:, axis] = basis @ coefficients
    return path


def _of_rows(strips: Strips, height: int) -> Float64Array:
    return np.interp(np.arange(height), strips.row, strips.probability)


def _agreement(path: Float64Array, strips: Strips, height: int) -> Float64Array:
    """Return the probability of each row's path: that of the strip, if both agree."""
    rows = np.arange(height)
    there = np.stack([np.interp(rows, strips.row, d) for d in strips.displacement.T], -1)
    agrees = np.hypot(*(path - there).T) < _OTHER
    probability = _of_rows(strips, height)
    return np.where(agrees, probability, np.minimum(1 - probability, 0.5))


def _strips_again(fit: RowFit, blank: Mask) -> dict[int, Strips]:
    """Locate the strips of each frame in the average of the others."""
    height, width = fit.canvas.frame
    reach = max(_MIN_REACH, int(_REACH_SHARE * min(height, width)))
    found = {}
    for index in np.flatnonzero(~blank).tolist():
        path = fit.paths[index]
        center = np.rint(np.median(path, axis=0)).astype(int)
        found[index] = find_strips(fit.frames[index], fit.others(index), center, reach, path=path)
    return found


def _take_better(fit: RowFit, index: int, strips: Strips, basis: Float64Array) -> bool:
    """Take the path of strips if the frame fits the others better with it."""
    other = smooth_strips(strips, fit.canvas.frame[0])
    if np.abs(other - fit.paths[index]).max() < _OTHER:
        return False
    expected = fit.expected(index)
    both = [polish(fit, index, expected, path, basis) for path in (fit.paths[index], other)]
    likelihoods = [fit.likelihood(index, expected, path) for path in both]
    better = likelihoods[1] > likelihoods[0]
    fit.move(index, both[int(better)])
    return better


def _choose_basis(fit: RowFit, basis: Float64Array) -> Float64Array:
    """Return the splines whose steps held-out columns gain by."""
    normals = [fit.linearise(k, fit.expected(k), fit.paths[k]) for k in range(len(fit))]

    def gain(splines: Float64Array) -> float:
        return sum(
            held.gain(solve(other, splines)[0])
            for even, odd in normals
            for held, other in ((even, odd), (odd, even))
        )

    best, highest = basis, gain(basis)
    for n_segments in _MORE_SEGMENTS:
        if n_segments * 4 > len(basis):
            break
        splines = spline_basis(len(basis), n_segments)
        more = (splines.shape[1] - best.shape[1]) * 2 * len(fit)
        found = gain(splines)
        if found > highest + _GAIN * more:
            best, highest = splines, found
    return best


def fix_gauge(paths: Float64Array, turns: Float64Array) -> Float64Array:
    """Make the mean of the paths straight, and the first frame's middle row undisplaced.

    The mean is taken over the frames that show a row of the specimen. Of frames with different
    scan directions only the place is fixed.
    """
    paths = paths.copy()
    if not np.any(turns):
        for _ in range(10):
            shared, rows = _shared_path(paths)
            for path in paths:
                place = np.arange(len(path)) - path[:, 0]
                path -= np.stack([np.interp(place, rows, s) for s in shared.T], -1)
            if np.abs(shared).max() < 1e-3:
                break
    origin = paths[0, paths.shape[1] // 2].copy()
    for path, degrees in zip(paths, turns, strict=True):
        path -= _along(origin, degrees)
    return paths


def _shared_path(paths: Float64Array) -> tuple[Float64Array, NDArray[np.int64]]:
    """Return what the paths of all frames share, by rows of the specimen, without its mean.

    Slopes are averaged, since the frames that show a row change from row to row.
    """
    place = np.arange(paths.shape[1]) - paths[:, :, 0]
    rows = np.arange(int(np.floor(place.min())), int(np.ceil(place.max())) + 1)
    slope, count = np.zeros((len(rows), 2)), np.zeros(len(rows))
    for at, path in zip(place, paths, strict=True):
        order = np.argsort(at, kind="stable")
        inside = np.flatnonzero((rows >= at.min()) & (rows <= at.max()))[1:]
        count[inside] += 1
        for axis in (0, 1):
            values = np.interp(rows, at[order], path[order, axis])
            slope[inside, axis] += values[inside] - values[inside - 1]
    # A row that few frames show tells nothing of what all share.
    shown = count > len(paths) / 2
    slope = np.where(shown[:, None], slope / np.maximum(count, 1)[:, None], 0)
    shared = ndimage.gaussian_filter1d(np.cumsum(slope, axis=0), _SHARED, axis=0, mode="nearest")
    return shared - (shared[shown].mean(axis=0) if shown.any() else shared.mean(axis=0)), rows
