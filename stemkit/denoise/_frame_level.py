"""Level and gain of a frame, and how they change across it.

The median, the spread and the noise of a frame follow its exposure, and depend little on what it
shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._arrays import Float32Array
from .._frame_statistics import FINEST

Float64Array = NDArray[np.float64]

# Least side in px of a frame that is measured; sides of blocks, of larger ones the middle is
# measured; and the least and greatest number of blocks along an axis.
_MIN_SIDE, _MIN_BLOCK, _MAX_BLOCK = 16, 12, 48
_LEAST_BLOCKS, _MAX_BLOCKS = 3, 8
# Share of the absolute finest detail that is averaged, without sharp atoms at the top, and the
# standard deviation of white noise over that mean. A median would be a multiple of a count.
_TRIMMED, _PER_TRIMMED = 0.9, 1.5222
_PER_MEDIAN = 1.4826
# Share of a frame's standard deviation below which its finest detail may be that of atoms.
_LEAST_NOISE = 0.03
# How many times the noise and the spread of a frame may be those of the others; how much their
# ratio may change if the finest detail is that of atoms; and how much noise may vary in a frame.
_MOST_STEP, _SAME, _MOST_ACROSS = 2.2, 1.5, 2.5
# How far the level may be from the others, and how much it may vary across a frame, in standard
# deviations of the rest of a frame.
_FAR, _STEEP = 4.0, 1.5
# Share of the variance of the logarithm of the blocks' noise that a gradient explains: less is
# enough if the level has a gradient, too. Frames with few atoms at one side have none.
_LEAST_EXPLAINED, _SOMEWHAT_STEEP = (0.8, 0.5), 1.0
# Least noise of a block in that of most blocks.
_LEAST_SHARE = 0.05


class FrameLevel(NamedTuple):
    """Level, noise and their gradients of a frame.

    Attributes
    ----------
    level : float
        Median.
    noise : float
        Standard deviation of the noise, by the finest detail.
    spread : float
        Standard deviation of the frame without a gradient of its level; 0 of a blank frame.
    steepness : float
        Standard deviation of the gradient of the level over `spread`.
    across : float
        Highest over lowest noise in the frame; 1 if there is no smooth change.
    levels, noises : ndarray or None
        Coefficients of smooth surfaces through the level and the logarithm of the noise of blocks.
    limits : tuple of float
        Least and greatest value of the second surface where there is noise.
    """

    level: float
    noise: float
    spread: float
    steepness: float = 0.0
    across: float = 1.0
    levels: Float64Array | None = None
    noises: Float64Array | None = None
    limits: tuple[float, float] = (0.0, 0.0)

    @property
    def is_blank(self) -> bool:
        """Whether all pixels are the same."""
        return self.spread == 0

    @property
    def has_noise(self) -> bool:
        """Whether the finest detail is certainly noise."""
        return self.noise > _LEAST_NOISE * self.spread

    @property
    def has_gradient(self) -> bool:
        """Whether the level or the noise changes a lot across the frame."""
        return self.steepness > _STEEP or self.across > _MOST_ACROSS

    def noise_over(self, shape: Sequence[int]) -> Float64Array | None:
        """Return the noise of each pixel (H, W) if it changes a lot across the frame."""
        if self.noises is None or self.across <= _MOST_ACROSS:
            return None
        values: Float64Array = np.exp(surface(self.noises, shape).clip(*self.limits))
        return values

    def has_gain_of(self, other: FrameLevel) -> bool:
        """Return whether noise and structure are about as strong as those of another frame."""
        if min(self.noise, other.noise, self.spread, other.spread) <= 0:
            return True
        noise, spread = np.log(self.noise / other.noise), np.log(self.spread / other.spread)
        if not (self.has_noise and other.has_noise) and abs(noise - spread) > np.log(_SAME):
            return True
        most = np.log(_MOST_STEP)
        return bool(min(noise, spread) < most and max(noise, spread) > -most)

    def is_near(self, other: FrameLevel) -> bool:
        """Return whether the level is that of another frame, in terms of its spread."""
        return abs(self.level - other.level) <= _FAR * other.spread


def measure(frame: NDArray) -> FrameLevel:
    """Measure the level and the noise of a frame (H, W), and how they change across it."""
    rows, columns = (_blocks(n) for n in frame.shape)
    y, x = np.concatenate(rows), np.concatenate(columns)
    values = frame[np.ix_(y, x)].astype(float)
    level, spread = float(np.median(values)), float(values.std())
    if np.ptp(frame) <= 1e-6 * np.abs(frame).max() or spread == 0:
        return FrameLevel(level, 0.0, 0.0)
    finest = np.abs(ndimage.correlate(values, FINEST))
    # Where blocks meet, pixels that are no neighbours do.
    inner = [np.concatenate([b[1:-1] for b in _positions(blocks)]) for blocks in (rows, columns)]
    found = FrameLevel(level, _level_of(finest[np.ix_(*inner)]), spread)
    if min(len(rows), len(columns)) < _LEAST_BLOCKS or not found.has_noise:
        return found
    boxes = [(r, c) for r in _positions(rows) for c in _positions(columns)]
    centers = np.array([(r.mean(), c.mean()) for r in rows for c in columns])
    design = _terms(*((centers + 0.5) / frame.shape).T)
    levels = _fit(design, np.array([np.median(values[np.ix_(r, c)]) for r, c in boxes]))
    field = surface(levels, frame.shape, y, x)
    rest = min(spread, float((values - field).std()))
    # A frame that is nothing but a gradient has no rest.
    steepness = float(field.std()) / rest if rest > 0 else 0.0
    noises, across, limits = None, 1.0, (0.0, 0.0)
    of_blocks = np.array([_level_of(finest[np.ix_(r[1:-1], c[1:-1])]) for r, c in boxes])
    # Parts that were not recorded, and filled, have no noise of their own.
    recorded = of_blocks > _LEAST_SHARE * np.median(of_blocks)
    grid = recorded.reshape(len(rows), len(columns))
    recorded = ndimage.binary_erosion(grid, np.ones((3, 3)), border_value=1).ravel()
    if recorded.mean() > 0.5:
        logs, terms = np.log(of_blocks[recorded]), design[recorded]
        coefficients = _fit(terms, logs)
        fitted = terms @ coefficients
        explained = 1 - (logs - fitted).var() / max(logs.var(), np.finfo(float).tiny)
        if explained > _LEAST_EXPLAINED[bool(steepness > _SOMEWHAT_STEEP)]:
            noises, across = coefficients, float(np.exp(np.ptp(fitted)))
            # Frames reach beyond the centers of their blocks.
            limits = fitted.min() - np.ptp(fitted) / 10, fitted.max() + np.ptp(fitted) / 10
    return FrameLevel(level, found.noise, rest or spread, steepness, across, levels, noises, limits)


def surface(
    coefficients: Float64Array,
    shape: Sequence[int],
    y: NDArray | None = None,
    x: NDArray | None = None,
) -> Float64Array:
    """Return the values of a smooth surface over a frame (H, W), or of some rows and columns."""
    places = [np.arange(n) if at is None else at for n, at in zip(shape, (y, x), strict=True)]
    relative = [(at + 0.5) / n for n, at in zip(shape, places, strict=True)]
    terms = _terms(*np.meshgrid(*relative, indexing="ij"))
    return terms @ coefficients


def _blocks(length: int) -> list[NDArray]:
    """Return the pixels of blocks along an axis, of large ones those in the middle."""
    blocks = np.array_split(np.arange(length), max(1, min(length // _MIN_BLOCK, _MAX_BLOCKS)))
    cut = [max(0, len(block) - _MAX_BLOCK) // 2 for block in blocks]
    return [block[c : len(block) - c] for block, c in zip(blocks, cut, strict=True)]


def _positions(blocks: list[NDArray]) -> list[NDArray]:
    """Return where the pixels of blocks are once the blocks are put side by side."""
    return np.split(
        np.arange(sum(map(len, blocks))), np.cumsum([len(block) for block in blocks])[:-1]
    )


def _level_of(finest: Float64Array) -> float:
    values = np.sort(finest, axis=None)
    return float(_PER_TRIMMED * values[: max(1, round(_TRIMMED * values.size))].mean())


def _terms(y: Float64Array, x: Float64Array) -> Float64Array:
    """Return the terms of a quadratic surface at positions from 0 to 1."""
    terms: Float64Array = np.stack([np.ones_like(y), y, x, y * y, x * y, x * x], axis=-1)
    return terms


def _fit(design: Float64Array, values: Float64Array) -> Float64Array:
    """Fit a surface to the values of blocks, of which a few may hold bright structure."""
    found: Float64Array = np.zeros(design.shape[1])
    weights = np.ones(len(values))
    for _ in range(5):
        root = np.sqrt(weights)
        solution = np.linalg.lstsq(design * root[:, np.newaxis], values * root, rcond=None)[0]
        found = solution.astype(np.float64)
        left = np.abs(values - design @ found)
        scale = 2 * _PER_MEDIAN * np.median(left)
        if scale == 0:
            break
        weights = np.minimum(1, scale / np.maximum(left, scale))
    return found


def measure_all(frames: Float32Array) -> list[FrameLevel]:
    """Measure frames (n, H, W); an empty list if they are too small."""
    return [measure(frame) for frame in frames] if min(frames.shape[1:]) >= _MIN_SIDE else []
