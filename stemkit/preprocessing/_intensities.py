"""What the intensities of a frame tell: levels, saturation, gradients, and steps between frames."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._bad_pixels import Mask

# Pixels of a block along one side whose means are compared between frames, and the quantiles.
_BLOCK = 4
_QUANTILES = 0.05, 0.25, 0.5, 0.75, 0.95
# Blocks along the shorter side between which slopes are taken, and the quantile of their
# intensities, which is that between atoms.
_GRADIENT_BLOCKS, _BETWEEN_ATOMS = 16, 0.2
# Least side of such a block in px, which holds a few atoms, the fewest blocks along a side, and the
# share of the variance of blocks that the plane must explain.
_LEAST_SIDE, _FEWEST_BLOCKS, _EXPLAINED = 24, 5, 0.5
# Least number of pixels at the largest value in groups, and of their number in that of the
# levels below.
_GROUPED, _PILED_UP = 12, 3.0
# Levels below the largest one that are compared with it.
_BELOW = 4
# Pixels of a value from which its neighbours have some too, and the number of such values.
_COMMON = 20

# Largest distance of the quantiles of a frame from a straight line through those of another, and
# of the darkest from the scaled one, both in their range.
_ALIKE, _SAME_LEVEL = 0.04, 0.05


class Levels(NamedTuple):
    """Distinct values of a frame.

    Attributes
    ----------
    n : int
        Their number.
    step : float
        The usual distance between neighbours.
    saturated : float
        Share of pixels at the largest value, 0 if they do not form groups.
    clipped : float
        Share of pixels at the smallest value, 0 if it is one of a distribution that fades out.
    absent : float
        Share of values that no pixel has although many pixels have the next ones.
    """

    n: int
    step: float
    saturated: float
    clipped: float
    absent: float


def levels(frame: NDArray, sound: Mask, readout: float) -> Levels:
    """Count the distinct values of a frame, and the pixels at the ends of its range.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        A frame that is not constant.
    sound : ndarray of shape (H, W), bool
        Pixels that have the values of the file.
    readout : float
        Standard deviation of its noise at the darkest places.

    Returns
    -------
    Levels
    """
    values, counts = np.unique(frame[sound], return_counts=True)
    if len(values) < 2:
        return Levels(len(values), 0.0, 0.0, 0.0, 0.0)
    distances = np.diff(values.astype(np.float64))
    step = float(np.median(distances))
    common = np.minimum(counts[1:], counts[:-1]) >= _COMMON
    return Levels(
        len(values),
        step,
        _share_at_end(sound & (frame == values[-1]), counts[::-1]),
        # Of few counts, and in a vacuum, many pixels have none.
        _share_at_end(sound & (frame == values[0]), counts) if readout > 3 * step else 0.0,
        float(np.mean(distances[common] > 1.5 * step)) if common.sum() >= _COMMON else 0.0,
    )


def _share_at_end(at_end: Mask, counts: NDArray) -> float:
    """Return the share of pixels at the first of some values, if more than the next have it."""
    if len(counts) < 4 or counts[0] < max(_GROUPED, _PILED_UP * counts[1 : 1 + _BELOW].max()):
        return 0.0
    with_right, with_lower = at_end[:, 1:] & at_end[:, :-1], at_end[1:] & at_end[:-1]
    grouped = np.count_nonzero(with_right) + np.count_nonzero(with_lower)
    return float(counts[0] / at_end.size) if grouped >= _GROUPED else 0.0


class Gradient(NamedTuple):
    """Plane through the background of a frame.

    Attributes
    ----------
    change : float
        Change from one end of the frame to the other in the direction of the gradient, 0 if it
        is not the same in most of the frame.
    ratio : float
        Background at the brighter end over that at the darker one.
    """

    change: float
    ratio: float


def gradient(frame: NDArray) -> Gradient:
    """Fit a plane to the background: low quantiles of blocks.

    The median slope between blocks is that of the plane in spite of edges of the specimen.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        A frame.

    Returns
    -------
    Gradient
    """
    side = max(_LEAST_SIDE, min(frame.shape) // _GRADIENT_BLOCKS)
    ny, nx = (length // side for length in frame.shape)
    if min(ny, nx) < _FEWEST_BLOCKS:
        return Gradient(0.0, 1.0)
    blocks = frame[: ny * side, : nx * side].reshape(ny, side, nx, side).swapaxes(1, 2)
    low = np.quantile(blocks.reshape(ny, nx, -1), _BETWEEN_ATOMS, axis=2)
    change = np.array([_change(low), _change(low.T)])
    y, x = np.indices((ny, nx))
    rest = low - change[0] / (ny - 1) * y - change[1] / (nx - 1) * x
    if rest.var() > (1 - _EXPLAINED) * low.var():
        return Gradient(0.0, 1.0)
    total = float(np.abs(change).sum())
    middle = float(np.median(low))
    ends = middle + total / 2, middle - total / 2
    return Gradient(total, ends[0] / ends[1] if ends[1] > 0 else np.inf)


def _change(low: NDArray) -> float:
    """Return the change over all rows, from the median slope, or 0 if slopes are not alike."""
    n = len(low)
    lag = max(1, n // 4)
    slopes = (low[lag:] - low[:-lag]) / lag
    middle = float(np.median(slopes))
    # Most blocks must agree on the sign.
    same = np.mean(np.sign(slopes) == np.sign(middle))
    return middle * (n - 1) if same > 0.75 else 0.0


def block_quantiles(frame: NDArray) -> NDArray[np.float64]:
    """Return quantiles of the means of small blocks, which noise hardly changes."""
    ny, nx = (max(1, length // _BLOCK) for length in frame.shape)
    by, bx = (min(_BLOCK, length) for length in frame.shape)
    blocks = frame[: ny * by, : nx * bx].reshape(ny, by, nx, bx)
    return np.quantile(blocks.mean(axis=(1, 3), dtype=np.float64), _QUANTILES)


class Step(NamedTuple):
    """Change of the intensities from one frame to the next.

    Attributes
    ----------
    ratio : float
        Ratio of the differences between quantiles; NaN if these do not agree, as where the specimen
        changes.
    alike : bool
        Whether the darkest places are scaled by this ratio too, as damage does not.
    offset : float
        Common shift of all quantiles; 0 if they do not shift alike.
    """

    ratio: float
    alike: bool
    offset: float


def step_between(before: NDArray[np.float64], after: NDArray[np.float64]) -> Step:
    """Compare the quantiles of two frames.

    Parameters
    ----------
    before, after : ndarray of shape (n_quantiles,)
        As `block_quantiles` returns them.

    Returns
    -------
    Step
    """
    shift = after - before
    alike = (shift > 0).all() or (shift < 0).all()
    smallest, largest = np.abs(shift).min(), np.abs(shift).max()
    offset = float(np.median(shift)) if alike and smallest > 0.6 * largest else 0.0
    extent = float(np.ptp(after))
    if np.ptp(before) <= 0 or extent <= 0:
        return Step(float("nan"), False, offset)
    ratio, constant = np.polyfit(before, after, 1).tolist()
    if ratio <= 0 or np.abs(after - ratio * before - constant).max() > _ALIKE * extent:
        return Step(float("nan"), False, offset)
    scaled = abs(after[0] - ratio * before[0]) < _SAME_LEVEL * extent
    return Step(ratio, bool(scaled), offset)
