"""Refinement of a motion to a fraction of a pixel, from a start within a pixel or two.

Both frames are filtered and divided by their local contrast, so that damage, which changes gain and
background slowly over the frame, causes no bias. The squared difference is then minimised by
second-order steps with the mean of both frames' gradients, since the noise of a single frame's
would bias them (Malis, "Improving vision-based control using efficient second-order minimization
techniques", ICRA 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._motion import Motion
from .._validation import Float32Array
from ._binning import bin_frame, wide_gaussian_filter
from ._correlation_search import border
from ._warping import coverage

# Standard deviation of the window for the local contrast, as a share of the shorter side.
_WINDOW = 0.12
# Least share of pixels with data in such a window.
_LEAST_DATA = 0.05
# Contrast below this share of the whole frame's is noise and is not amplified further.
_MIN_CONTRAST = 0.3
# Share of data of pixels that are not affected by filled ones.
_WELL_INSIDE = 0.99
# Side in px of a place in `count_places`: about a column in the binned frames of the search.
_PLACE = 4
# Side in px of statistically independent patches: a column with its surroundings.
_PATCH = 8
# Limits the correction of full steps to a factor of 1 / 0.3.
_MIN_AGREEMENT = 0.3
# The refinement ends when a step moves no pixel by more than this, in px.
_TOLERANCE = 3e-3


@dataclass(frozen=True)
class Refined:
    """A refined motion, the correlation of the frames under it, and their overlap."""

    motion: Motion
    correlation: float
    overlap: float


@dataclass(frozen=True)
class Prepared:
    """A frame of even contrast with its spline coefficients and gradient.

    ``share`` is 0 where the frame holds no data and 1 well inside, or None if there are no such
    places.
    """

    values: Float32Array
    coefficients: Float32Array
    gradient: tuple[Float32Array, Float32Array]
    share: Float32Array | None = None


def prepare(weighted: Float32Array, share: Float32Array | None = None) -> Prepared:
    """Divide a frame by its local contrast, and compute what each step of `refine` uses."""
    window = _WINDOW * min(weighted.shape)
    power = wide_gaussian_filter(np.square(weighted), window)
    rms = float(np.sqrt(np.mean(weighted**2, dtype=np.float64)))
    if share is not None and share.any():
        # The contrast is that of the data alone.
        power = power / wide_gaussian_filter(np.square(share), window).clip(_LEAST_DATA)
        rms /= float(np.sqrt(np.mean(share**2, dtype=np.float64)))
    if rms > 0:
        contrast = np.hypot(np.sqrt(power), np.float32(_MIN_CONTRAST * rms))
        values = np.divide(weighted, contrast, dtype=np.float32)
    else:
        values = weighted
    gradient = _gradient(values)
    return Prepared(values, ndimage.spline_filter(values, 3, output=np.float32), gradient, share)


def refine(
    frames: Sequence[Prepared],
    start: Motion,
    parameters: tuple[str, ...],
    *,
    max_steps: int = 20,
    full_steps: bool = False,
) -> Refined:
    """Refine a motion between two prepared frames.

    Parameters
    ----------
    frames : sequence of two Prepared
        The earlier frame and the later one.
    start : Motion
        Initial motion, accurate to about a pixel or a quarter of the finest period.
    parameters : tuple of str
        Which of "rotation", "shear", "stretch" and "scale", or of "rotation", "shear" and
        "magnification" (stretch and scale alike), to fit in addition to the drift.
    max_steps : int, default=20
        Maximum number of steps.
    full_steps : bool, default=False
        Whether to correct the shortening of steps by noise. From a start that may be off by a
        period, shorter steps diverge less often.

    Returns
    -------
    Refined
    """
    first, second = frames
    height, width = start.shape
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2)[None, :]
    reach = 0.5 * float(np.hypot(height, width))
    motion = start
    for _ in range(max_steps):
        moved, inside = _align_second(first, second, motion)
        residual = (first.values - moved) * inside
        slope_y, slope_x = _gradient(moved)
        along_y = 0.5 * (slope_y + first.gradient[0]) * inside
        along_x = 0.5 * (slope_x + first.gradient[1]) * inside
        slopes = {
            "rotation": lambda gy, gx: y * gx - x * gy,
            "shear": lambda gy, gx: y * gx,
            "stretch": lambda gy, gx: y * gy,
            "scale": lambda gy, gx: x * gx,
            "magnification": lambda gy, gx: y * gy + x * gx,
        }
        columns = [
            along_y,
            along_x,
            *(slopes[name](along_y, along_x) / reach for name in parameters),
        ]
        jacobian = np.stack([column.ravel() for column in columns])
        normal = (jacobian @ jacobian.T).astype(np.float64)
        step = _solve(normal, (jacobian @ residual.ravel()).astype(np.float64))
        if full_steps:
            # Noise increases the gradients, which shortens the steps. The product of both frames'
            # gradients, whose noise is independent, gives the factor.
            common = np.vdot(slope_y * inside, first.gradient[0])
            common += np.vdot(slope_x * inside, first.gradient[1])
            step /= np.clip(common / max(normal[0, 0] + normal[1, 1], 1e-12), _MIN_AGREEMENT, 1)
        # The linear model holds for small steps only.
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        linear = dict(zip(parameters, step[2:] / reach, strict=True))
        small = Motion.from_parameters(
            start.shape,
            drift=step[:2],
            rotation=linear.get("rotation", 0.0),
            shear=linear.get("shear", 0.0),
            stretch=linear.get("stretch", linear.get("magnification", 0.0)),
            scale=1 + linear.get("scale", linear.get("magnification", 0.0)),
        )
        motion = small.then(motion)
        if np.abs(step).max() < _TOLERANCE:
            break
    moved, inside = _align_second(first, second, motion)
    covered = coverage(motion.inverse())
    if first.share is not None or second.share is not None:
        covered &= _both_hold_data(first, second, motion, 0)
    overlap = float(covered.mean())
    return Refined(motion, _correlation(first.values, moved, inside), overlap)


def count_places(frames: Sequence[Prepared], motion: Motion) -> float:
    """Return the effective number of places in which two frames agree under a motion.

    A few places may agree by chance, however well: two photons in frames of a dozen, or the only
    spot in both frames.
    """
    first, second = frames
    moved, inside = _align_second(first, second, motion)
    agreement = bin_frame(first.values * moved * inside, _PLACE).astype(np.float64)
    square = float((agreement**2).sum())
    return max(float(agreement.sum()), 0.0) ** 2 / square if square > 0 else 0.0


def correlation_margins(
    frames: Sequence[Prepared], motions: Sequence[Motion]
) -> NDArray[np.float64]:
    """Return how much better frames correlate under the first motion than under each other.

    A lattice agrees as well after a shift by a lattice vector, only over less of the frame. So
    correlation coefficients are compared, not sums over the overlap. The standard error of their
    difference comes from its scatter over patches of the frame (as in Vuong's test of likelihoods,
    "Likelihood ratio tests for model selection and non-nested hypotheses", Econometrica 57, 1989).

    Parameters
    ----------
    frames : sequence of two Prepared
        The earlier frame and the later one.
    motions : sequence of Motion
        The best motion and its alternatives.

    Returns
    -------
    ndarray of shape (n_motions - 1,)
        Differences of the correlation coefficients, in units of their standard errors.
    """
    (best, parts), *others = (_correlation_by_patch(frames, motion) for motion in motions)
    differences = [(best - other, parts - other_parts) for other, other_parts in others]
    return np.array([d / max(float(np.sqrt(np.sum(s**2))), 1e-12) for d, s in differences])


def correlation_of(frames: Sequence[Prepared], motion: Motion) -> tuple[float, float]:
    """Return the correlation of two frames under a motion, as such and in standard errors.

    The standard error comes from the scatter over patches, as in :func:`correlation_margins`.
    """
    correlation, parts = _correlation_by_patch(frames, motion)
    return correlation, correlation / max(float(np.sqrt(np.sum(parts**2))), 1e-12)


def _correlation_by_patch(
    frames: Sequence[Prepared], motion: Motion
) -> tuple[float, NDArray[np.float64]]:
    """Return the correlation under a motion, and the influence of each patch on it."""
    first, second = frames
    moved, inside = _align_second(first, second, motion)
    reference, observed = first.values * inside, moved * inside
    products = (reference * observed, reference * reference, observed * observed)
    joint, *powers = (bin_frame(product, _PATCH).astype(np.float64) for product in products)
    totals = [float(power.sum()) for power in powers]
    if min(totals) <= 0:
        return 0.0, np.zeros_like(joint)
    joint /= np.sqrt(totals[0] * totals[1])
    correlation = float(joint.sum())
    shares = sum(power / total for power, total in zip(powers, totals, strict=True))
    return correlation, joint - correlation / 2 * shares


def _solve(normal: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve the normal equations, without a step in directions that are not determined."""
    damping = 1e-6 * np.trace(normal) + np.finfo(np.float64).tiny
    return np.linalg.solve(normal + damping * np.eye(len(right)), right)


def _align_second(
    first: Prepared, second: Prepared, motion: Motion
) -> tuple[Float32Array, NDArray[np.bool_]]:
    """Resample the second frame at the pixels of the first; also return where both hold data."""
    moved = _resample(second.coefficients, motion, order=3)
    inside = coverage(motion.inverse(), margin=border(motion.shape))
    if first.share is not None or second.share is not None:
        inside &= _both_hold_data(first, second, motion, _WELL_INSIDE)
    return moved, inside


def _both_hold_data(
    first: Prepared, second: Prepared, motion: Motion, least: float
) -> NDArray[np.bool_]:
    """Return where the share of data is above a value in both frames, at the first's pixels."""
    both = np.ones(motion.shape, dtype=bool)
    if first.share is not None:
        both &= first.share > least
    if second.share is not None:
        both &= _resample(second.share, motion, order=1) > least
    return both


def _resample(values: Float32Array, motion: Motion, *, order: int) -> Float32Array:
    offset = motion.center + motion.drift - motion.matrix @ motion.center
    return ndimage.affine_transform(
        values,
        motion.matrix,
        offset,
        output=np.float32,
        order=order,
        mode="nearest",
        prefilter=False,
    )


def _gradient(values: Float32Array) -> tuple[Float32Array, Float32Array]:
    return np.gradient(values, axis=0), np.gradient(values, axis=1)


def _correlation(a: Float32Array, b: Float32Array, inside: NDArray[np.bool_]) -> float:
    """Return the correlation coefficient of two frames of zero mean where both hold data."""
    a, b = a[inside].astype(np.float64), b[inside].astype(np.float64)
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0
