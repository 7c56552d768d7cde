"""Find pixels that do not show the specimen, and fill them from their neighbours.

A bad pixel is told from an atom by its sharpness: the image of the probe spreads every atom over
several pixels, so that the second of the four nearest neighbours has a good part of its height.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ._arrays import Float32Array, rescale_to_float32
from ._edges import find_edges
from ._noise_law import RING, NoiseLaw, noise_law, ring_median, sampling

Mask = NDArray[np.bool_]

# Least ratio of a bad pixel's height to that of the second of its four neighbours. A Gaussian of
# sigma 0.8 px, centred on a pixel, has a ratio of 2.2.
_SHARPNESS = 4.0
# Least height of a bad pixel in standard deviations of the noise, after a square root that makes
# those of counts equal.
_STANDARD_DEVIATIONS = 8.0
# The same in what one pixel in a hundred differs by: noise may have heavier tails than a normal
# distribution, whose tails would give seven standard deviations.
_OF_TAILS = 3.0
# A row or column is bad if four fifths of its pixels differ from their neighbours, all in one
# direction, by a standard deviation of the noise and by so many times as much as other rows do.
_OF_LINES = 5.0
# Least height of a bad pixel in the range of the frame: less does no harm, and in denoised frames
# there is no noise that it could be compared with.
_LEAST_SHARE = 0.005
_SHORTEST_LINE = 16
# Pixels of a line that are compared with its neighbours.
_FOR_LINES = 256
# Largest share of a frame that single bad pixels may have: more are noise of another kind, or
# atoms that the pixels are too coarse for.
_MOST_SPIKES = 0.01
# Marks of detectors for pixels without data, and the largest share of a frame that they may have,
# as the gaps between the chips of a detector.
_MARKS = {np.dtype("u2"): 2**16 - 1, np.dtype("u4"): 2**32 - 1, np.dtype("i4"): 2**31 - 1}
_MOST_MARKED = 0.2


def find_bad(frames: Float32Array, known: Mask, *, spikes: bool = True, lines: bool = True) -> Mask:
    """Return the bad pixels of each frame: known ones, rows and columns, and spikes.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, H, W), float32
        Frames; values of known bad pixels have no influence, and may be NaN.
    known : ndarray of shape (n_frames, H, W), bool
        Pixels that are marked or missing.
    spikes, lines : bool, default=True
        Whether to look for single pixels, and for rows and columns.

    Returns
    -------
    ndarray of shape (n_frames, H, W), bool
    """
    bad = known.copy()
    for frame, where in zip(frames, bad, strict=True):
        # Bad pixels that are known are filled before others are compared with them.
        if lines:
            where |= find_no_image(frame)
            where |= find_lines(filled(frame, where))
        if spikes:
            where |= find_spikes(filled(frame, where))
    return bad


def find_marks(frames: NDArray) -> Mask:
    """Return where integer frames hold the value by which detectors mark missing pixels.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, H, W)
        Frames in the type in which they were recorded.

    Returns
    -------
    ndarray of shape (n_frames, H, W), bool
    """
    mark = _MARKS.get(frames.dtype.newbyteorder("="))
    if mark is None:
        return np.zeros(frames.shape, bool)
    marked = frames == mark
    for frame, where in zip(frames, marked, strict=True):
        # Intensities that reach half of the mark are those of a bright or saturated image.
        if where.mean() > _MOST_MARKED or frame.max(initial=0, where=~where) > mark // 2:
            where[:] = False
    return marked


def find_no_image(frame: Float32Array) -> Mask:
    """Return the parts at the edges of a frame that were not recorded, or hold text.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32
        The frame.

    Returns
    -------
    ndarray of shape (H, W), bool
    """
    missing = np.zeros(frame.shape, bool)
    if min(frame.shape) < _SHORTEST_LINE:
        return missing
    edges, _, _ = find_edges(frame)
    if edges:
        missing[:] = True
        missing[edges.inner(frame.shape)] = False
    return missing


def find_spikes(frame: Float32Array) -> Mask:
    """Return the pixels of one frame that are too sharp to belong to the image.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32
        The frame.

    Returns
    -------
    ndarray of shape (H, W), bool
    """
    if min(frame.shape) < 3:
        return np.zeros(frame.shape, bool)
    frame, _ = rescale_to_float32(frame)
    law = noise_law(frame)
    second, second_least = _second_neighbours(frame)
    # Only pixels that differ from their neighbours by so much can be bad, and they are few.
    step = sampling(frame)
    low, high = np.percentile(frame[::step, ::step], (0.1, 99.9))
    least = max(_STANDARD_DEVIATIONS * law.readout, _LEAST_SHARE * float(high - low))
    least *= 1 - 1 / _SHARPNESS
    above, below = frame - second > least, second_least - frame > least
    y, x = np.nonzero(above | below)
    background = ring_median(frame, y, x)
    found = np.zeros(frame.shape, bool)
    found[y, x] = _too_sharp(
        frame[y, x] - background,
        (second[y, x] - background, second_least[y, x] - background),
        _limits(background, law),
    )
    return found & (found.mean() <= _MOST_SPIKES)


def find_fixed(frames: Float32Array) -> Mask:
    """Return the pixels that differ from their neighbours alike in all frames of a series.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, H, W), float32
        Three frames or more.

    Returns
    -------
    ndarray of shape (H, W), bool
    """
    if len(frames) < 3 or min(frames.shape[1:]) < 3:
        return np.zeros(frames.shape[1:], bool)
    # In one unit for all frames, which may not overflow.
    frames, _ = rescale_to_float32(frames)
    laws = [noise_law(frame) for frame in frames]
    found = np.zeros(frames.shape[1:], bool)
    y, x = np.nonzero(_often_sharp(frames, laws))
    if y.size == 0:
        return found
    # The median over the series: of a specimen that moves little is left, and of noise less.
    heights, backgrounds = _heights(frames, y, x)
    height = np.median(heights, axis=0)
    rows, columns = (np.pad(np.arange(n), 1, mode="reflect") for n in frames.shape[1:])
    beside = [
        np.median(_heights(frames, rows[y + dy], columns[x + dx])[0], axis=0)
        for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2))
    ]
    step = sampling(frames[0])
    sample_y, sample_x = np.mgrid[: len(found) : step, : len(found[0]) : step].reshape(2, -1)
    usual = np.median(_heights(frames, sample_y, sample_x)[0], axis=0)
    spread = 1.4826 * float(np.median(np.abs(usual - np.median(usual))))
    limits = [_limits(*each) for each in zip(backgrounds, laws, strict=True)]
    highest, deepest = (
        np.maximum(np.median(limit, axis=0) / np.sqrt(len(frames)), _STANDARD_DEVIATIONS * spread)
        for limit in zip(*limits, strict=True)
    )
    found[y, x] = _too_sharp(height, _second_of(*beside), (highest, deepest))
    return found


def _often_sharp(frames: Float32Array, laws: list[NoiseLaw]) -> Mask:
    """Return the pixels that stand out of their neighbours in half of the frames or more.

    All pixels that may be fixed are among them: two thirds of the least height are asked for, less
    what noise adds to the second of four neighbours.
    """
    above, below = np.zeros((2, *frames.shape[1:]), np.uint32)
    least = 0.65 * (1 - 1 / _SHARPNESS) * _STANDARD_DEVIATIONS / np.sqrt(len(frames)) - 0.3
    for frame, law in zip(frames, laws, strict=True):
        second, second_least = _second_neighbours(frame)
        for count, height, level in (
            (above, frame - second, second),
            (below, second_least - frame, second_least),
        ):
            variance = law.readout**2 + law.gain * np.maximum(level - law.low, 0)
            count += height > least * np.sqrt(variance)
    return np.maximum(above, below) >= len(frames) / 2


def _heights(frames: Float32Array, y: NDArray, x: NDArray) -> tuple[NDArray, NDArray]:
    """Return the heights of some pixels above their background, and the background.

    Both are of shape (n_frames, n_pixels).
    """
    rows, columns = (np.pad(np.arange(n), 2, mode="symmetric") for n in frames.shape[1:])
    ring = [(rows[y + dy], columns[x + dx]) for dy, dx in np.argwhere(RING)]
    middle = len(ring) // 2
    backgrounds = np.stack(
        [np.partition([frame[place] for place in ring], middle, axis=0)[middle] for frame in frames]
    )
    return frames[:, y, x] - backgrounds, backgrounds


def find_lines(frame: Float32Array) -> Mask:
    """Return the rows and columns that differ from their neighbours as a whole.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32
        The frame.

    Returns
    -------
    ndarray of shape (H, W), bool
    """
    frame, _ = rescale_to_float32(frame)
    bad = np.zeros(frame.shape, bool)
    bad[_odd_lines(frame)] = True
    bad[:, _odd_lines(frame.T)] = True
    return bad


def _odd_lines(lines: Float32Array) -> Mask:
    """Return which rows lie above, or below, their neighbours along nearly all their length.

    A row of a lattice does so at its atoms alone, and a row at the edge of the specimen is like
    those on one side of it.
    """
    n, length = lines.shape
    if min(n, length) < _SHORTEST_LINE:
        return np.zeros(n, bool)
    lines = lines[:, :: max(1, length // _FOR_LINES)]
    # Beyond the border the rows inside go on with their slope, since a bad row may be the first.
    first, last = (1.5 * row[1] - 0.5 * row[3] for row in (lines, lines[::-1]))
    padded = np.concatenate([[first, first], lines, [last, last]])
    neighbours = [padded[i : i + n] for i in (0, 1, 3, 4)]
    before, after = neighbours[0] + neighbours[1], neighbours[2] + neighbours[3]
    extremes = np.maximum.reduce(neighbours) + np.minimum.reduce(neighbours)
    difference = lines - (before + after - extremes) / 2
    low, middle, high = np.quantile(difference, (0.2, 0.5, 0.8), axis=1)
    sign = np.where(low > -high, 1, -1)
    # Of two adjacent bad rows each has the other on one side, which halves the difference.
    sides = [
        np.quantile(sign[:, np.newaxis] * (2 * lines - side), 0.2, axis=1)
        for side in (before, after)
    ]
    offset = np.minimum.reduce([np.maximum(low, -high), *sides])
    # Most rows differ by noise, of which a fifth lies below -0.84 standard deviations. Rows through
    # the atoms of a lattice are alike, and so are those with noise of their own; bad ones are few.
    least = max(
        float(np.median(high - low)) / (2 * 0.84),
        _OF_LINES * float(np.quantile(offset, 0.95)),
        _OF_LINES * 1.4826 * float(np.median(np.abs(middle))) / np.sqrt(1.25),
    )
    candidates = offset > least
    for index in np.flatnonzero(candidates):
        candidates[index] = _is_sharp_line(padded, int(index) + 2)
    return candidates


def _is_sharp_line(padded: Float32Array, index: int) -> bool:
    """Return whether a row, of rows padded by two, stands out more than its neighbours.

    The image of the probe gives rows beside a lattice plane a good part of its height.
    """
    background = (padded[index - 2] + padded[index + 2]) / 2
    height, *sides = (
        abs(float(np.median(padded[index + step] - background))) for step in (0, 1, -1)
    )
    return max(sides) < height / _SHARPNESS or min(sides) < height / (2 * _SHARPNESS)


def fill(frame: Float32Array, bad: Mask) -> Float32Array:
    """Return a frame with its bad pixels replaced by the weighted mean of sound neighbours.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32
        The frame; values of bad pixels have no influence, and may be NaN.
    bad : ndarray of shape (H, W), bool
        Where to fill; at least one pixel must be sound.

    Returns
    -------
    ndarray of shape (H, W), float32
    """
    known_values = np.where(bad, np.float32(0), frame)
    sound = (~bad).astype(np.float32)
    missing = bad
    result = known_values.copy()
    sigma = 0.7
    while missing.any():
        weight = ndimage.gaussian_filter(sound, sigma, mode="nearest", truncate=3)
        mean = ndimage.gaussian_filter(known_values, sigma, mode="nearest", truncate=3)
        # Less than this is the tail of one far neighbour, unless there is no other.
        known = missing & (weight > (0.02 if sigma < max(frame.shape) else 0.0))
        result[known] = mean[known] / weight[known]
        missing = missing & ~known
        sigma *= 2
    return result


def filled(frame: Float32Array, bad: Mask) -> Float32Array:
    """Return a frame with its bad pixels filled; without a sound pixel, as it is."""
    return fill(frame, bad) if bad.any() and not bad.all() else frame


def _limits(background: NDArray, law: NoiseLaw) -> tuple[NDArray, NDArray]:
    """Return how far above and below the background noise takes a pixel at most."""
    level = np.maximum(background - law.low, 0)
    # Few counts scatter further up than down: their square roots scatter alike.
    half = 0.5 * _STANDARD_DEVIATIONS
    counted = (np.sqrt(level) + half * np.sqrt(law.gain)) ** 2 - level
    above = counted + _STANDARD_DEVIATIONS * law.readout
    below = _STANDARD_DEVIATIONS * np.sqrt(law.readout**2 + law.gain * level)
    return np.maximum(above, _OF_TAILS * law.above), np.maximum(below, _OF_TAILS * law.below)


def _second_neighbours(values: NDArray) -> tuple[NDArray, NDArray]:
    """Return the second largest and the second least of the four neighbours of each pixel."""
    padded = np.pad(values, 1, mode="reflect")
    up, down, left, right = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    return _second_of(up, down, left, right)


def _second_of(a: NDArray, b: NDArray, c: NDArray, d: NDArray) -> tuple[NDArray, NDArray]:
    """Return the second largest and the second least of four values."""
    larger = np.maximum(a, b), np.maximum(c, d)
    lesser = np.minimum(a, b), np.minimum(c, d)
    inner = np.minimum(*larger), np.maximum(*lesser)
    return np.maximum(*inner), np.minimum(*inner)


def _too_sharp(
    height: NDArray, neighbours: tuple[NDArray, NDArray], limits: tuple[NDArray, NDArray]
) -> Mask:
    """Return which heights stand out, up or down, while the second neighbours' do not."""
    found = np.zeros(height.shape, bool)
    for sign, second, limit in zip((1, -1), neighbours, limits, strict=True):
        found |= (sign * height > limit) & (
            sign * height > _SHARPNESS * np.maximum(sign * second, 0)
        )
    return found
