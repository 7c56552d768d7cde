"""Find pixels that do not show the specimen, and fill them from their neighbours.

A bad pixel is told from an atom by its sharpness: the image of the probe spreads every atom over
several pixels, so that the second of the four nearest neighbours has a good part of its height.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ._validation import Float32Array, rescale_to_float32

Mask = NDArray[np.bool_]

# Least ratio of a bad pixel's height to that of the second of its four neighbours. A Gaussian of
# sigma 0.8 px, centred on a pixel, has a ratio of 2.2.
_SHARPNESS = 4.0
# Least height of a bad pixel in standard deviations of the noise, after a square root that makes
# those of counts equal.
_STANDARD_DEVIATIONS = 8.0
# A row or column is bad if four fifths of its pixels differ from their neighbours, all in one
# direction, by a standard deviation of the noise and by so many times as much as other rows.
_OF_LINES = 3.0
_SHORTEST_LINE = 16
# Marks of detectors for pixels without data, and the largest share of a frame that they may have:
# more are a saturated part of the image.
_MARKS = {np.dtype("u2"): 2**16 - 1, np.dtype("u4"): 2**32 - 1, np.dtype("i4"): 2**31 - 1}
_MOST_MARKED = 0.02
# Pixels from which the noise is estimated.
_FOR_NOISE = 2**15
# The 16 pixels at a distance of two.
_RING = np.pad(np.zeros((3, 3), bool), 1, constant_values=True)


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
    marked[marked.mean(axis=(1, 2)) > _MOST_MARKED] = False
    return marked


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
    law = _noise_law(frame)
    second, second_least = _second_neighbours(frame)
    # Only pixels that differ from their neighbours by so much can be bad, and they are few.
    least = _STANDARD_DEVIATIONS * (1 - 1 / _SHARPNESS) * law.readout
    above, below = frame - second > least, second_least - frame > least
    y, x = np.nonzero(above | below)
    background = _ring_median(frame, y, x)
    found = np.zeros(frame.shape, bool)
    found[y, x] = _too_sharp(
        frame[y, x] - background,
        (second[y, x] - background, second_least[y, x] - background),
        _limits(background, law),
    )
    return found


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
    heights, above, below = [], [], []
    for frame in frames:
        background = ndimage.median_filter(frame, footprint=_RING, mode="reflect")
        highest, deepest = _limits(background, _noise_law(frame))
        heights.append(frame - background)
        above.append(highest)
        below.append(deepest)
    # The median over the series: of a specimen that moves little is left, and of noise less.
    height = np.median(heights, axis=0)
    spread = 1.4826 * float(np.median(np.abs(height - np.median(height))))
    highest, deepest = (
        np.maximum(np.median(limit, axis=0) / np.sqrt(len(frames)), _STANDARD_DEVIATIONS * spread)
        for limit in (above, below)
    )
    return _too_sharp(height, _second_neighbours(height), (highest, deepest))


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

    A row of a lattice does so at its atoms alone.
    """
    n, length = lines.shape
    if min(n, length) < _SHORTEST_LINE:
        return np.zeros(n, bool)
    # Beyond the border rows go on with their slope, which is no line.
    padded = np.pad(lines, ((2, 2), (0, 0)), mode="reflect", reflect_type="odd")
    around = np.median([padded[i : i + n] for i in (0, 1, 3, 4)], axis=0)
    low, high = np.quantile(lines - around, (0.2, 0.8), axis=1)
    # Most rows differ by noise, of which a fifth lies below -0.84 standard deviations.
    noise = float(np.median(high - low)) / (2 * 0.84)
    offset = np.maximum(low, -high)
    # Rows through the atoms of a lattice are alike; bad ones are few.
    return offset > max(noise, _OF_LINES * float(np.quantile(offset, 0.95)))


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
    filled = np.where(bad, np.float32(0), frame)
    sound = (~bad).astype(np.float32)
    missing = bad
    result = filled.copy()
    sigma = 0.7
    while missing.any():
        weight = ndimage.gaussian_filter(sound, sigma, mode="nearest", truncate=3)
        mean = ndimage.gaussian_filter(filled, sigma, mode="nearest", truncate=3)
        # Less than this is the tail of one far neighbour, unless there is no other.
        known = missing & (weight > (0.02 if sigma < max(frame.shape) else 0.0))
        result[known] = mean[known] / weight[known]
        missing = missing & ~known
        sigma *= 2
    return result


class _NoiseLaw(NamedTuple):
    """Noise of a frame: the variance is that at the lowest level plus the gain times the rest."""

    low: float
    gain: float
    readout: float


def _ring_median(frame: Float32Array, y: NDArray, x: NDArray) -> Float32Array:
    """Return the median of the 16 pixels at a distance of two of each of some pixels."""
    padded = np.pad(frame, 2, mode="reflect")
    ring = [padded[y + dy, x + dx] for dy, dx in np.argwhere(_RING)]
    return np.median(ring, axis=0).astype(np.float32)


def _noise_law(frame: Float32Array) -> _NoiseLaw:
    """Estimate the noise from the differences of neighbours, at the dark and the bright places."""
    # A part of the pixels is enough.
    step = max(1, int(np.sqrt(frame.size / _FOR_NOISE)))
    y, x = (
        index.ravel() for index in np.mgrid[: frame.shape[0] : step, : frame.shape[1] - 1 : step]
    )
    level = _ring_median(frame, y, x)
    difference = (frame[y, x + 1] - frame[y, x]) / np.float32(np.sqrt(2))
    low, high = (float(value) for value in np.percentile(level, (5, 95)))

    def deviation(where: Mask) -> float:
        # The mean, since the median of whole numbers is one; without the largest, bad pixels.
        values = np.abs(difference[where])
        return 1.2533 * float(np.mean(values.clip(None, np.percentile(values, 99))))

    readout, at_high = deviation(level <= low), deviation(level >= high)
    gain = max(at_high**2 - readout**2, 0.0) / (high - low) if high > low else 0.0
    if np.median(np.abs(difference)) == 0:
        # Few counts, mostly zero: their variance is the gain times their mean, and one electron
        # gives the smallest step.
        square, mean = difference**2, 0.5 * (frame[y, x + 1] + frame[y, x]) - low
        inner = square <= np.percentile(square, 99.5)
        squares, counts = (float(values[inner].sum()) for values in (square, mean))
        gain = max(gain, squares / counts) if counts > 1e-9 * squares else gain
        above = frame[frame > low]
        gain = max(gain, float(above.min()) - low) if above.size else gain
    return _NoiseLaw(low, gain, readout)


def _limits(background: NDArray, law: _NoiseLaw) -> tuple[NDArray, NDArray]:
    """Return how far above and below the background noise takes a pixel at most."""
    level = np.maximum(background - law.low, 0)
    # Few counts scatter further up than down: their square roots scatter alike.
    half = 0.5 * _STANDARD_DEVIATIONS
    counted = (np.sqrt(level) + half * np.sqrt(law.gain)) ** 2 - level
    above = counted + _STANDARD_DEVIATIONS * law.readout
    below = _STANDARD_DEVIATIONS * np.sqrt(law.readout**2 + law.gain * level)
    return above, below


def _second_neighbours(values: NDArray) -> tuple[NDArray, NDArray]:
    """Return the second largest and the second least of the four neighbours of each pixel."""
    padded = np.pad(values, 1, mode="reflect")
    up, down, left, right = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    larger = np.maximum(up, down), np.maximum(left, right)
    lesser = np.minimum(up, down), np.minimum(left, right)
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
