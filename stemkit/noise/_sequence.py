"""Measure the noise of one sequence of exposures of a still field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import Float32Array, check_frames, n_dims
from ._variance_law import VariancePoints

Floats = NDArray[np.float64]

_MIN_FRAMES, _MIN_SIDE = 4, 8
# Number of values tested. More would reject any camera: with 26 million, a distribution that is
# normal to within 0.04 % is rejected; with 10,000, to within 2 %.
SAMPLE = 10_000
_SAMPLED_FRAMES = 20
# A field whose intensity varies by less than this share of the noise counts as one intensity.
_FLAT = 0.25
_PIXELS_A_BIN, _MIN_BINS, _MAX_BINS = 256, 4, 64
ROUNDING = 1 / 12
"""Variance of rounding to whole numbers."""


@dataclass(frozen=True)
class SequenceNoise:
    """Noise of one sequence, in counts, without that of rounding."""

    n_frames: int
    n_pixels: int
    """In all sampled frames."""
    intensity: float
    sigma: float
    column_variance: float
    column_floor: float
    """Variance of a column's mean that is due to pointwise noise."""
    column_dof: int
    points: VariancePoints
    pointwise: Floats
    """Sample of pixels' noise without column noise, in standard deviations."""
    pointwise_intensity: Floats
    pointwise_sigma: Floats
    """Intensity and standard deviation of each sampled pixel."""
    whole: bool
    """Whether frames are whole numbers."""
    columns: Floats
    """Sample of columns' noise, in standard deviations."""
    correlation: tuple[float, float]
    """Of pointwise noise between neighbours along y and x."""
    ends: tuple[tuple[float, float], tuple[float, float]]
    """The sequence's smallest and largest value, each with the share of pixels that have it."""


def measure_sequence(stack: Any, name: str) -> SequenceNoise:
    """Measure the noise in exposures of one still field, (n_frames, H, W), two frames at a time.

    The noise is measured on differences of successive frames, in which fixed pattern and slow
    changes cancel. Pairs do not overlap, so the sum of a pair is independent of its difference.
    Every other pair is used to group pixels of similar intensity, and the rest to measure their
    intensity and variance; then the roles are exchanged. If pixels were sorted by the same frames
    that are measured, those with high noise would be sorted as bright ones.
    """
    pairs = _Pairs(stack, name)
    mean = pairs.half_sums[0] + pairs.half_sums[1]
    mean /= 2 * len(pairs)
    pattern = _Pattern(mean)
    squares, column_steps = pairs.differences(pattern)
    if not np.isfinite(squares).all():
        raise ValueError(
            f"{name} has noise whose square is beyond float32; divide all frames by one number."
        )
    height, width = mean.shape
    variances = [
        _unbiased(square / 2, n) for square, n in zip(squares, pairs.per_half, strict=True)
    ]
    raw = float(np.mean(variances))
    rounding = ROUNDING if pairs.whole else 0.0
    if raw <= rounding:
        raise ValueError(
            f"{name} holds frames without noise, or with less than that of rounding; pass separate "
            f"exposures as the camera recorded them, and sum frames of single electrons."
        )
    # A difference has twice the variance. Mean and pattern take two degrees of freedom.
    dof = len(pairs) * (width - 2)
    total = float(np.sum(column_steps**2) / (2 * dof))
    column_variance = total - raw / height
    means = [sums / (2 * n) for sums, n in zip(pairs.half_sums, pairs.per_half, strict=True)]
    points = _points(means, variances, pairs.per_half, max(column_variance, 0.0), rounding)
    pointwise, at, columns, correlation = pairs.sample(pattern)
    # The variance of residuals is reduced by the subtracted means of frames and columns.
    freedom = (1 - 1 / (2 * len(pairs))) * (1 - 1 / height)
    order = np.argsort(points.intensity)
    local = np.interp(at, points.intensity[order], points.variance[order]) + 2 * rounding
    sigma = np.sqrt(local * freedom)
    return SequenceNoise(
        n_frames=pairs.n_frames,
        n_pixels=min(pairs.n_frames, _SAMPLED_FRAMES) * mean.size,
        intensity=float(mean.mean()),
        sigma=float(np.sqrt(raw - rounding)),
        column_variance=column_variance,
        column_floor=raw / height,
        column_dof=dof,
        points=points,
        pointwise=pointwise / sigma,
        pointwise_intensity=at,
        pointwise_sigma=sigma,
        whole=pairs.whole,
        columns=columns / np.sqrt(total * (1 - 1 / (2 * len(pairs))) * (1 - 2 / width)),
        correlation=correlation,
        ends=pairs.ends,
    )


class _Pattern:
    """The pattern of a still field, which has to be subtracted if the beam flickers."""

    def __init__(self, mean: Floats) -> None:
        profile = mean.mean(axis=0)
        inside = mean - profile
        self.mean = mean.astype(np.float32)
        self.inside = (inside / max(float(np.linalg.norm(inside)), 1e-30)).astype(np.float32)
        profile = profile - profile.mean()
        self.profile = profile / max(float(np.linalg.norm(profile)), 1e-30)

    def split(self, residual: Float32Array) -> tuple[Float32Array, Floats]:
        """Separate a residual, in place, into noise of the pixels and of the columns."""
        columns = residual.mean(axis=0, dtype=np.float64)
        residual -= columns.astype(np.float32)
        flicker = float(np.vdot(residual, self.inside))
        residual -= np.float32(flicker) * self.inside
        columns = columns - columns.mean()
        columns -= (columns @ self.profile) * self.profile
        return residual, columns


class _Pairs:
    """The pairs of a sequence. A first pass sums even and odd ones separately."""

    def __init__(self, stack: Any, name: str) -> None:
        self.stack, self.name = stack, name
        self.n_frames = len(stack)
        if self.n_frames < _MIN_FRAMES:
            raise ValueError(
                f"{name} holds {self.n_frames} frame(s), but noise is measured from at least "
                f"{_MIN_FRAMES} exposures of one field; pass more of them."
            )
        if n_dims(stack[0]) != 2:
            raise ValueError(
                f"{name} holds frames of {n_dims(stack[0])} dimension(s), but a sequence has "
                f"shape (n_frames, H, W); pass a list of such stacks."
            )
        n_even = (len(self) + 1) // 2
        self.per_half = (n_even, len(self) - n_even)
        self.whole = True
        low, high = _Extreme(np.min), _Extreme(np.max)
        for index in range(len(self)):
            pair = self[index]
            if index == 0:
                self.half_sums = np.zeros((2, *pair.shape[1:]))
            self.half_sums[index % 2] += pair[0]
            self.half_sums[index % 2] += pair[1]
            self.whole = self.whole and bool((pair == np.rint(pair)).all())
            low.update(pair)
            high.update(pair)
        n_values = 2 * len(self) * self.half_sums[0].size
        self.ends = (low.value, low.count / n_values), (high.value, high.count / n_values)

    def __len__(self) -> int:
        return self.n_frames // 2

    def __getitem__(self, index: int) -> Float32Array:
        label = f"{self.name}[{2 * index}:{2 * index + 2}]"
        recorded = self.stack[2 * index : 2 * index + 2]
        pair = check_frames(recorded, name=label, bad_pixels="repair", lines=False)
        # Whole numbers stay whole where bad pixels were filled.
        filled = pair != np.asarray(recorded, dtype=np.float32)
        if filled.any() and (pair[~filled] == np.rint(pair[~filled])).all():
            pair = np.where(filled, np.rint(pair), pair)
        if min(pair.shape[1:]) < _MIN_SIDE:
            raise ValueError(
                f"{self.name} has frames of {pair.shape[1]} x {pair.shape[2]} px, too small to "
                f"separate column noise from pointwise noise; pass frames of at least "
                f"{_MIN_SIDE} x {_MIN_SIDE} px."
            )
        return pair

    def differences(self, pattern: _Pattern) -> tuple[Floats, Floats]:
        """Return the pixels' sums of squared differences by half, and the columns' differences."""
        squares = np.zeros_like(self.half_sums)
        columns = np.empty((len(self), squares.shape[2]))
        for index in range(len(self)):
            first, second = self[index]
            step, columns[index] = pattern.split(second - first)
            with np.errstate(over="ignore"):  # measure_sequence checks for inf
                np.square(step, out=step)
            squares[index % 2] += step
        return squares, columns

    def sample(self, pattern: _Pattern) -> tuple[Floats, Floats, Floats, tuple[float, float]]:
        """Return noise and intensity of sampled pixels, noise of columns, and correlations."""
        rng = np.random.default_rng(0)  # the sample must not depend on a seed of the user's
        n_used = 2 * len(self)
        chosen = np.unique(np.linspace(0, n_used - 1, min(n_used, _SAMPLED_FRAMES)).astype(int))
        each = min(-(-SAMPLE // len(chosen)), pattern.mean.size)
        values, at, columns, products = [], [], [], np.zeros(3)
        for index in chosen:
            frame = self[index // 2][index % 2]
            residual, of_columns = pattern.split(frame - pattern.mean)
            pixels = rng.choice(residual.size, each, replace=False)
            values.append(residual.ravel()[pixels])
            at.append(pattern.mean.ravel()[pixels])
            columns.append(of_columns)
            products += [
                np.vdot(residual[1:], residual[:-1]),
                np.vdot(residual[:, 1:], residual[:, :-1]),
                np.vdot(residual, residual),
            ]
        sample = np.concatenate(values).astype(float)
        if self.whole:
            sample += dither(sample.size)
        height, width = pattern.mean.shape
        # There is one neighbour fewer than pixels, and the column's mean correlates its pixels.
        down = products[0] / products[2] * height / (height - 1) + 1 / (height - 1)
        across = products[1] / products[2] * width / (width - 1)
        of_columns = rng.permutation(np.concatenate(columns))[:SAMPLE]
        return sample, np.concatenate(at).astype(float), of_columns, (float(down), float(across))


def dither(size: int) -> Floats:
    """Return uniform numbers to add to whole numbers before a test of a continuous law."""
    return np.random.default_rng(1).uniform(-0.5, 0.5, size)


class _Extreme:
    """Count of the largest or smallest value of a sequence, updated pair by pair."""

    def __init__(self, find: Callable[..., Any]) -> None:
        self.find = find
        self.value = np.nan
        self.count = 0

    def update(self, pair: Float32Array) -> None:
        value = float(self.find(pair))
        if value != self.value:
            if self.find([value, self.value]) == self.value:
                return
            self.value, self.count = value, 0
        self.count += int(np.count_nonzero(pair == value))


def _unbiased(squares: Floats, n_pairs: int) -> Floats:
    """Return the variance of each pixel from sums of squares about the mean of its column.

    The mean contains 1/H of each pixel's noise, which biases the variance of the pixel itself and
    of the others in its column.
    """
    height, width = squares.shape
    mean = squares / n_pairs
    of_column = mean.mean(axis=0)
    freedom = 1 - 1 / (width * (height - 1))  # the pattern takes one degree of freedom
    return (mean - of_column / (height - 1)) * (height / (height - 2)) / freedom


def _points(
    means: list[Floats],
    variances: list[Floats],
    per_half: tuple[int, int],
    column_variance: float,
    rounding: float,
) -> VariancePoints:
    height, width = means[0].shape
    noise = float(np.mean(variances))
    pattern = float(np.mean((means[0] - means[0].mean()) * (means[1] - means[1].mean())))
    n_bins = 1
    if pattern > _FLAT**2 * noise:
        n_bins = int(np.clip(height * width // _PIXELS_A_BIN, _MIN_BINS, _MAX_BINS))
    found = []
    for half, n_pairs in enumerate(per_half):
        sorter = means[1 - half].ravel()
        edges = np.quantile(sorter, np.linspace(0, 1, n_bins + 1)[1:-1])
        # Sums of few whole numbers have ties, which leave bins empty; these are left out.
        _, bins = np.unique(np.searchsorted(edges, sorter), return_inverse=True)
        count = np.bincount(bins)
        intensity, variance = (
            np.bincount(bins, values[half].ravel()) / count for values in (means, variances)
        )
        stderr = np.sqrt(variance / count / (2 * n_pairs) + column_variance / width / (2 * n_pairs))
        dof = count * n_pairs * (1 - 1 / height)
        spread = np.zeros_like(intensity)
        if n_bins > 1:
            # Variance of the true intensities: that of the means without the noise in them.
            inside = means[half].ravel() - intensity[bins]
            spread = np.bincount(bins, inside**2) / count
            spread -= (variance + column_variance) / (2 * n_pairs)
        # Saturated, dead and dark pixels have no noise to measure.
        noisy = variance > rounding
        found.append(np.stack([intensity, stderr, variance - rounding, dof, spread])[:, noisy])
    return VariancePoints(*np.concatenate(found, axis=1))
