"""Sub-pixel motion from a start that is right to a pixel or two.

Both frames are filtered and normalised by their local contrast alike, so that damage, which
changes gain and background slowly over the frame, doesn't pull. The squared difference is then
brought to its minimum by second-order steps whose gradient is the mean of both frames' (Malis,
"Improving vision-based control using efficient second-order minimization techniques", ICRA 2004):
the noise of one frame alone would bend them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._motion import Motion
from .._validation import Float32Array
from ._binning import bin_frame, smooth_frame
from ._correlation_search import border
from ._warping import coverage

# Local contrast is measured in windows of this standard deviation, in shares of the shorter side.
_WINDOW = 0.12
# Contrast below this share of the frame's own is taken for noise and not blown up.
_LEAST_CONTRAST = 0.3
# Side in px of what counts as one place: about that of a column, as the search sees it.
_PLACE = 4
# Side in px of patches that agree or not each for itself: a column and what surrounds it.
_PATCH = 8
# Full steps are at most 1 / 0.3 times as long as those that noise shortened.
_LEAST_AGREEMENT = 0.3
# Steps smaller than this everywhere in the frame end the search, in px.
_TOLERANCE = 3e-3


@dataclass(frozen=True)
class Refined:
    """A refined motion and how well the frames agree under it."""

    motion: Motion
    correlation: float
    overlap: float


@dataclass(frozen=True)
class Prepared:
    """A frame ready for many warps: equalised contrast, spline coefficients, gradient."""

    values: Float32Array
    coefficients: Float32Array
    gradient: tuple[Float32Array, Float32Array]


def prepare(weighted: Float32Array) -> Prepared:
    """Equalise the contrast of a frame and precompute what the refinement needs of it."""
    window = _WINDOW * min(weighted.shape)
    power = smooth_frame(np.square(weighted), window)
    typical = float(np.sqrt(np.mean(weighted**2, dtype=np.float64)))
    if typical > 0:
        contrast = np.hypot(np.sqrt(power), np.float32(_LEAST_CONTRAST * typical))
        values = np.divide(weighted, contrast, dtype=np.float32)
    else:
        values = weighted
    gradient = _gradient(values)
    return Prepared(values, ndimage.spline_filter(values, 3, output=np.float32), gradient)


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
        Where to start from; right to about a pixel, or a quarter of the finest period.
    parameters : tuple of str
        Which of "rotation", "shear", "stretch" and "scale" to fit besides the drift.
    max_steps : int, default=20
        Steps at most.
    full_steps : bool, default=False
        Whether to undo what noise takes off each step. From a start that may be a period off,
        short steps go astray less often.

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
        moved, inside = _pull(second.coefficients, motion)
        residual = (first.values - moved) * inside
        slope_y, slope_x = _gradient(moved)
        along_y = 0.5 * (slope_y + first.gradient[0]) * inside
        along_x = 0.5 * (slope_x + first.gradient[1]) * inside
        slopes = {
            "rotation": lambda gy, gx: y * gx - x * gy,
            "shear": lambda gy, gx: y * gx,
            "stretch": lambda gy, gx: y * gy,
            "scale": lambda gy, gx: x * gx,
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
            # Noise steepens the gradients and so shortens the steps; what is steep in both frames
            # alike tells by how much.
            common = np.vdot(slope_y * inside, first.gradient[0])
            common += np.vdot(slope_x * inside, first.gradient[1])
            step /= np.clip(common / max(normal[0, 0] + normal[1, 1], 1e-12), _LEAST_AGREEMENT, 1)
        # A step beyond the reach of the linear model is cut, not trusted.
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        linear = dict(zip(parameters, step[2:] / reach, strict=True))
        small = Motion.from_parameters(
            start.shape,
            drift=step[:2],
            rotation=linear.get("rotation", 0.0),
            shear=linear.get("shear", 0.0),
            stretch=linear.get("stretch", 0.0),
            scale=1 + linear.get("scale", 0.0),
        )
        motion = small.then(motion)
        if np.abs(step).max() < _TOLERANCE:
            break
    moved, inside = _pull(second.coefficients, motion)
    overlap = float(coverage(motion.inverse()).mean())
    return Refined(motion, _correlation(first.values, moved, inside), overlap)


def count_places(frames: Sequence[Prepared], motion: Motion) -> float:
    """Count the places in which two frames agree under a motion, each by its share in the whole.

    A few places can agree by chance, however well: two photons in frames of a dozen, or the one
    spot that both frames hold.
    """
    first, second = frames
    moved, inside = _pull(second.coefficients, motion)
    agreement = bin_frame(first.values * moved * inside, _PLACE).astype(np.float64)
    square = float((agreement**2).sum())
    return max(float(agreement.sum()), 0.0) ** 2 / square if square > 0 else 0.0


def correlation_margins(
    frames: Sequence[Prepared], motions: Sequence[Motion]
) -> NDArray[np.float64]:
    """Say by how much frames agree better under a first motion than under each other one.

    What a lattice repeats agrees as well wherever it is repeated, only over less of the frame. So
    correlation coefficients are compared, not their sums over the overlap, and the scatter of
    their difference over patches of the frame tells its error (as Vuong does for likelihoods,
    "Likelihood ratio tests for model selection and non-nested hypotheses", Econometrica 57, 1989).

    Returns
    -------
    ndarray of shape (n_motions - 1,)
        Differences of the correlation coefficients in units of their standard errors.
    """
    (best, share), *rivals = (_correlation_by_patch(frames, motion) for motion in motions)
    differences = [(best - other, share - others) for other, others in rivals]
    return np.array([d / max(float(np.sqrt(np.sum(s**2))), 1e-12) for d, s in differences])


def _correlation_by_patch(
    frames: Sequence[Prepared], motion: Motion
) -> tuple[float, NDArray[np.float64]]:
    """Return the correlation under a motion, and what each patch moves it by."""
    moved, inside = _pull(frames[1].coefficients, motion)
    there, moved = frames[0].values * inside, moved * inside
    products = (there * moved, there * there, moved * moved)
    joint, *powers = (bin_frame(product, _PATCH).astype(np.float64) for product in products)
    size = [float(power.sum()) for power in powers]
    if min(size) <= 0:
        return 0.0, np.zeros_like(joint)
    joint /= np.sqrt(size[0] * size[1])
    correlation = float(joint.sum())
    shares = sum(power / total for power, total in zip(powers, size, strict=True))
    return correlation, joint - correlation / 2 * shares


def _solve(normal: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve the normal equations; directions that the frames say nothing about stay put."""
    damping = 1e-6 * np.trace(normal) + np.finfo(np.float64).tiny
    return np.linalg.solve(normal + damping * np.eye(len(right)), right)


def _pull(coefficients: Float32Array, motion: Motion) -> tuple[Float32Array, NDArray[np.bool_]]:
    """Draw the second frame as it lies in the first, and where both show the specimen."""
    offset = motion.center + motion.drift - motion.matrix @ motion.center
    moved = ndimage.affine_transform(
        coefficients,
        motion.matrix,
        offset,
        output=np.float32,
        order=3,
        mode="nearest",
        prefilter=False,
    )
    return moved, coverage(motion.inverse(), margin=border(motion.shape))


def _gradient(values: Float32Array) -> tuple[Float32Array, Float32Array]:
    return np.gradient(values, axis=0), np.gradient(values, axis=1)


def _correlation(a: Float32Array, b: Float32Array, inside: NDArray[np.bool_]) -> float:
    """Return the correlation coefficient of two frames of zero mean where both hold data."""
    a, b = a[inside].astype(np.float64), b[inside].astype(np.float64)
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0
