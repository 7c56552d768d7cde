"""The noise of an average, from the differences of consecutive aligned frames.

What changes slowly from frame to frame, as damage does, has little influence on differences; and
no model of the noise is needed, since interpolated frames are compared as they enter the average.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._motion import Motion
from ._canvas import Canvas, Source, Window, choose_canvas, source_of

# Order of the splines that interpolate.
ORDER = 3
# Pixels of a class of similar intensity, and the largest number of classes.
_CLASS, _MOST_CLASSES = 256, 48
# Distance of classes in standard deviations of the noise of an intensity.
_APART = 2.0
# Widths in px over which intensities are averaged before they are compared, and the share of noise
# in the result for which the first of them suffices.
_LEVELS, _MOST_NOISE = (1.0, 1.5, 2.0), 0.15
# Width in px over which local differences are averaged, and a lag in px beyond which the noise
# of interpolated pixels is independent.
_LOCAL, _LAG = 1.0, 3
# Number of fractions of a pixel for which the variance is tabulated.
_STEPS = 64
# Lowest noise of a frame, and of a pixel, as a share of the median.
_LEAST = 1e-3


class Sampled(NamedTuple):
    """A frame at the pixels of a canvas.

    Attributes
    ----------
    window : (slice, slice)
        Which part of the canvas the arrays show.
    values : ndarray of shape (h, w)
        Interpolated intensities.
    shown : ndarray of shape (h, w), bool
        Where the frame holds data.
    gain : float or ndarray of shape (h, w)
        Variance of interpolated white noise in that of the frame.
    """

    window: Window
    values: NDArray
    shown: NDArray[np.bool_]
    gain: NDArray[np.float64] | float


@lru_cache(maxsize=1)
def _gains() -> NDArray[np.float64]:
    """Return the sum of the squared weights of a spline between two pixels, at each fraction."""
    impulse = np.zeros(41)
    impulse[20] = 1
    fractions = np.arange(_STEPS + 1) / _STEPS
    return np.array([(ndimage.shift(impulse, f, order=ORDER) ** 2).sum() for f in fractions])


def mean_gain() -> float:
    """Return the variance of interpolated white noise, averaged over all fractions of a pixel."""
    return float(_gains()[:-1].mean() ** 2)


def noise_gain(source: Source) -> NDArray[np.float64] | float:
    """Return the variance of interpolated white noise in that of the frame."""
    places: Iterable[NDArray[np.float64]] = source.places()
    if (source.matrix == np.eye(2)).all():  # the same everywhere
        places = source.offset
    gain: NDArray[np.float64] | float = 1.0
    for place in places:
        steps = (place - np.floor(place)) * _STEPS
        gain = gain * np.interp(steps, np.arange(_STEPS + 1), _gains())
    return gain


@lru_cache(maxsize=4)
def interpolation_transfer(side: int) -> NDArray[np.float64]:
    """Return the mean power that interpolation leaves of each frequency of `numpy.fft.fftfreq`."""
    impulse = np.zeros(side)
    impulse[side // 2] = 1
    shifted = [
        ndimage.shift(impulse, f / _STEPS, order=ORDER, mode="grid-wrap") for f in range(_STEPS)
    ]
    return np.mean(np.abs(np.fft.fft(shifted, axis=1)) ** 2, axis=0)


def overlap(one: Window, other: Window) -> tuple[Window, Window, Window]:
    """Return what two windows share: on the canvas, and within each of them."""
    shared: list[slice] = []
    for a, b in zip(one, other, strict=True):
        start = max(a.start, b.start)
        shared.append(slice(start, max(start, min(a.stop, b.stop))))
    inner = [
        tuple(
            slice(part.start - base.start, part.stop - base.start)
            for part, base in zip(shared, window, strict=True)
        )
        for window in (one, other)
    ]
    return (shared[0], shared[1]), inner[0], inner[1]  # type: ignore[return-value]


def _within(values: NDArray | float, window: Window) -> NDArray | float:
    return values[window] if isinstance(values, np.ndarray) else values


class Differences:
    """Sums over the squared differences of consecutive frames, at the pixels of a canvas."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.squares = np.zeros(shape)
        self.expected = np.zeros(shape)
        self._last: tuple[Sampled, float] | None = None

    def add(self, frame: Sampled, noise: float) -> None:
        """Add a frame, whose white noise has this variance relative to the others."""
        if self._last is not None:
            last, last_noise = self._last
            window, before, now = overlap(last.window, frame.window)
            both = last.shown[before] & frame.shown[now]
            step = np.subtract(frame.values[now], last.values[before], dtype=float)
            self.squares[window] += np.where(both, step**2, 0)
            variance = last_noise * _within(last.gain, before) + noise * _within(frame.gain, now)
            self.expected[window] += np.where(both, variance, 0)
        self._last = frame, noise

    def variance(
        self, mean: NDArray[np.float64], shown: NDArray[np.bool_], share: float
    ) -> NDArray[np.float64]:
        """Return the variance of the white noise of a frame at each pixel; NaN if unknown.

        Few frames tell little at a single pixel, so pixels of similar intensity are taken
        together. What differs locally from that by more than chance, as at edges of frames that
        are not aligned perfectly, is kept.

        Parameters
        ----------
        mean : ndarray of shape (H, W)
            The average of the frames.
        shown : ndarray of shape (H, W), bool
            Where it holds data.
        share : float
            Variance of its noise in that of a frame.
        """
        known = self.expected > 0
        if not known.any():
            return np.full(shown.shape, np.nan)
        noise = share * self.squares.sum() / self.expected.sum()
        for sigma in _LEVELS:
            level = _smoothed(mean, shown, sigma)
            if noise / (4 * np.pi * sigma**2) <= _MOST_NOISE * level[known].var():
                break
        of_level = share / (4 * np.pi * sigma**2)
        typical = _by_level(level, self.squares, self.expected, known, of_level)
        least = _LEAST * float(np.median(typical[known]))
        typical = np.maximum(typical, max(least, np.finfo(float).tiny))
        ratio = np.divide(
            self.squares, self.expected * typical, out=np.ones(shown.shape), where=known
        )
        return typical * _without_chance(ratio, known)


def _by_level(
    level: NDArray[np.float64],
    squares: NDArray[np.float64],
    expected: NDArray[np.float64],
    known: NDArray[np.bool_],
    share: float,
) -> NDArray[np.float64]:
    """Return the variance as a function of the intensity, whose own noise is a share of it.

    Pixels that only noise tells apart are one class: where few counts fell by chance, they also
    scatter little.
    """
    values = level[known]
    n_classes = int(np.clip(values.size // _CLASS, 1, _MOST_CLASSES))
    borders = np.unique(np.quantile(values, np.linspace(0, 1, n_classes + 1)))
    index = np.digitize(values, borders[1:-1])
    sums = [
        np.bincount(index, weights)
        for weights in (np.ones(values.size), values, squares[known], expected[known])
    ]
    classes: list[NDArray[np.float64]] = []
    for one in np.stack(sums, axis=1)[sums[0] > 0]:
        classes.append(one)
        while len(classes) > 1 and _is_alike(classes[-2], classes[-1], share):
            classes[-2:] = [classes[-2] + classes[-1]]
    count, total, scatter, scale = np.array(classes).T
    return np.interp(level, total / count, scatter / scale)


def _is_alike(one: NDArray[np.float64], other: NDArray[np.float64], share: float) -> bool:
    """Return whether the levels of two classes differ by less than their noise."""
    _, _, scatter, scale = one + other
    return other[1] / other[0] - one[1] / one[0] < _APART * np.sqrt(share * scatter / scale)


def _without_chance(ratio: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Shrink local ratios towards 1 by as much as they scatter by chance.

    What is no chance is seen in pixels at a distance too.
    """
    local = _smoothed(ratio, known, _LOCAL) - 1
    scatter = float(np.mean(local[known] ** 2))
    alike = []
    excess = np.where(known, ratio - 1, 0)
    for axis in (0, 1):
        if ratio.shape[axis] > _LAG:
            one, other = (np.moveaxis(array, axis, 0) for array in (excess, known.astype(float)))
            pairs = (other[_LAG:] * other[:-_LAG]).sum()
            if pairs:
                alike.append((one[_LAG:] * one[:-_LAG]).sum() / pairs)
    if not alike or scatter == 0:
        return np.ones(ratio.shape)
    share = float(np.clip(np.mean(alike) / scatter, 0, 1))
    return np.maximum(1 + share * local, _LEAST)


def _smoothed(values: NDArray, known: NDArray[np.bool_], sigma: float) -> NDArray[np.float64]:
    """Average values locally over the known pixels; far from these, return 0."""
    weight = ndimage.gaussian_filter(known.astype(float), sigma)
    total = ndimage.gaussian_filter(np.where(known, values, 0.0), sigma)
    return np.divide(total, weight, out=np.zeros(values.shape), where=weight > 1e-6)


def relative_noise(frames: Iterable[NDArray], motions: Sequence[Motion]) -> NDArray[np.float64]:
    """Estimate the variance of each frame's noise relative to the others.

    Three consecutive frames, aligned, have three differences, which tell the noise of each: the
    specimen, which is the same in all, has no influence. Nothing is known of two frames.

    Parameters
    ----------
    frames : iterable of ndarrays of shape (H, W)
        The series.
    motions : sequence of Motion
        From the first frame to each.

    Returns
    -------
    ndarray of shape (n_frames,)
        With a median of 1.
    """
    canvas = choose_canvas(motions, "union")
    variances = np.full(len(motions), np.nan)
    recent: deque[Sampled] = deque(maxlen=3)
    for index, (frame, motion) in enumerate(zip(frames, motions, strict=True)):
        recent.append(_plain_sample(frame, motion, canvas))
        if len(recent) < 3:
            continue
        found = _three_variances(*recent)
        variances[index - 1] = found[1]
        if index == 2:
            variances[0] = found[0]
        variances[index] = found[2]  # replaced, but for the last frame
    known = np.isfinite(variances)
    if not known.any():
        return np.ones(len(motions))
    middle = float(np.median(variances[known]))
    if middle <= 0:
        return np.ones(len(motions))
    return np.where(known, np.maximum(variances / middle, _LEAST), 1.0)


def _plain_sample(frame: NDArray, motion: Motion, canvas: Canvas) -> Sampled:
    window = canvas.window(motion)
    source = source_of(motion, canvas, window)
    values = source.sample(frame, order=ORDER)
    return Sampled(window, values, source.is_inside(motion.shape), noise_gain(source))


def _three_variances(*frames: Sampled) -> NDArray[np.float64]:
    """Return the variances of three frames, each before its interpolation."""
    window = frames[0].window
    for frame in frames[1:]:
        window = overlap(window, frame.window)[0]
    inner = [overlap(window, frame.window)[2] for frame in frames]
    shown = np.logical_and.reduce(
        [frame.shown[part] for frame, part in zip(frames, inner, strict=True)]
    )
    if not shown.any():
        return np.full(3, np.nan)
    a, b, c = (
        frame.values[part][shown].astype(float) for frame, part in zip(frames, inner, strict=True)
    )
    ab, bc, ac = (float(np.mean((x - y) ** 2)) for x, y in ((a, b), (b, c), (a, c)))
    gains = [
        float(np.mean(np.broadcast_to(_within(frame.gain, part), shown.shape)[shown]))
        for frame, part in zip(frames, inner, strict=True)
    ]
    return np.array([ab + ac - bc, ab + bc - ac, ac + bc - ab]) / 2 / gains
