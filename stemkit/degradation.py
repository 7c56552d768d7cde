"""Damage by the beam, and the recording of frames: dose, background and row jitter.

Damage patterns are functions of continuous coordinates, so that they follow the specimen exactly
when it drifts; :func:`degrade` renders a damaged scene, and :func:`record` adds the noise.

References
----------
Wang, Zheng, He and Razi, "AtomDiffuser: Time-Aware Degradation Modeling for Drift and Beam Damage
in STEM Imaging", ICCV Workshops 2025.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ._constraints import Interval, Options, Sequence, check_arguments
from ._motion import Motion
from ._random import RandomState, check_generator
from ._scene import Scene, as_shape, frame_coordinates, render_columns, render_film
from ._validation import Float32Array

__all__ = ["DamagePattern", "damage_pattern", "degrade", "record"]

Kind = Literal["gaussian", "perlin", "random"]
# Width in px over which amorphous material is averaged: about one lattice vector.
_AMORPHOUS_SIGMA = 8.0
# Expected counts per pixel above which NumPy's Poisson numbers fail.
_MAX_COUNTS = 1e18

Coordinates: TypeAlias = NDArray[np.float64]
DamagePattern: TypeAlias = Callable[[Coordinates, Coordinates], Coordinates]


@check_arguments(
    kind=[Options("gaussian", "perlin", "random")],
    shape=["frame shape"],
    cell=[Interval(float, 0.1, 1e6, unit="px"), None],
    center=[Sequence(Interval(float, None, None), 2), None],
    row_jitter=[Interval(float, 0, 1e6, unit="px")],
    random_state=["random_state"],
)
def damage_pattern(
    kind: Kind,
    shape: tuple[int, int],
    *,
    cell: float | None = None,
    center: tuple[float, float] | None = None,
    row_jitter: float = 1.0,
    random_state: RandomState = None,
) -> DamagePattern:
    """Make a damage pattern from 0 to 1, a function of first-frame coordinates.

    Parameters
    ----------
    kind : {"gaussian", "perlin", "random"}
        A hole in the middle; smooth noise of low frequency; fine noise whose rows are jittered.
    shape : tuple of int
        Shape (H, W) of the frame over which the pattern spans 0 to 1.
    cell : float, optional
        Size of the pattern in px, at least 0.1: the Gaussian's standard deviation (default: 0.18 of
        the shorter side), or the distance between the noise's grid points (default: a quarter of
        the shorter side for "perlin", 16 px for "random").
    center : tuple of float, optional
        Centre (y, x) of the Gaussian; the frame's by default.
    row_jitter : float, default=1.0
        Standard deviation in px of the displacement of each row of a "random" pattern.
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise.

    Returns
    -------
    callable
        ``pattern(y, x)`` returns the damage, 0 to 1, at coordinates of any one shape.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value, such as a ``cell`` of 0.

    References
    ----------
    .. [1] Wang, Zheng, He and Razi, "AtomDiffuser: Time-Aware Degradation Modeling for Drift and
       Beam Damage in STEM Imaging", ICCV Workshops 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.degradation import damage_pattern
    >>> hole = damage_pattern("gaussian", (64, 64))
    >>> float(hole(np.array(31.5), np.array(31.5)))
    1.0
    """
    shape = as_shape(shape)
    side = min(shape)
    if kind == "gaussian":
        sigma = 0.18 * side if cell is None else cell
        middle = ((shape[0] - 1) / 2, (shape[1] - 1) / 2) if center is None else center
        return lambda y, x: np.exp(-((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / (2 * sigma**2))
    rng = check_generator(random_state)
    if kind == "perlin":
        return _value_noise(shape, side / 4 if cell is None else cell, rng)
    rows = rng.normal(0, row_jitter, size=3 * shape[0])
    smooth = _value_noise(shape, 16.0 if cell is None else cell, rng)

    def jittered(y: Coordinates, x: Coordinates) -> Coordinates:
        row = np.rint(y).astype(int) + shape[0]
        return smooth(y, x + rows[row.clip(0, rows.size - 1)])

    return jittered


def _value_noise(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> DamagePattern:
    """Return a cubic spline through uniform noise, scaled to 0..1 over the frame."""
    # Half a frame on every side, so that the pattern continues where the specimen drifts into view.
    margin = [side / 2 + 2 * cell for side in shape]
    size = [
        int(np.ceil((side + 2 * rim) / cell)) + 1 for side, rim in zip(shape, margin, strict=True)
    ]
    coefficients = ndimage.spline_filter(rng.random(size))

    def raw(y: Coordinates, x: Coordinates) -> Coordinates:
        grid = [
            (np.asarray(p, dtype=float) + rim) / cell for p, rim in zip((y, x), margin, strict=True)
        ]
        return ndimage.map_coordinates(coefficients, grid, prefilter=False, mode="mirror")

    sample = np.meshgrid(*[np.linspace(0, n - 1, min(n, 128)) for n in shape], indexing="ij")
    values = raw(*sample)
    low, high = values.min(), values.max()
    span = max(high - low, np.finfo(float).tiny)
    return lambda y, x: ((raw(y, x) - low) / span).clip(0, 1)


def row_shifts(n_rows: int, row_jitter: float, rng: np.random.Generator) -> Coordinates | None:
    """Draw the shift of each recorded row to the right, in px; None without row jitter."""
    return rng.normal(0, row_jitter, n_rows) if row_jitter else None


@check_arguments(
    scene=[Scene],
    shape=["frame shape"],
    motion=[Motion, None],
    damage=[callable, None],
    strength=[Interval(float, 0, None)],
    amorphous=[Interval(float, 0, 1)],
    row_shift=["array-like", None],
)
def degrade(
    scene: Scene,
    shape: tuple[int, int],
    *,
    motion: Motion | None = None,
    damage: DamagePattern | None = None,
    strength: float = 1.0,
    amorphous: float = 0.0,
    row_shift: NDArray[np.float64] | None = None,
) -> tuple[Float32Array, Float32Array]:
    """Render a scene after motion and beam damage, without noise.

    Parameters
    ----------
    scene : Scene
        The specimen.
    shape : tuple of int
        Shape (H, W) of the frame.
    motion : Motion, optional
        Motion of the specimen since the first frame.
    damage : callable, optional
        Damage from 0 to 1 as a function of first-frame coordinates, as
        :func:`damage_pattern` returns it.
    strength : float, default=1.0
        Factor by which the pattern is multiplied; the damage is cut at 1.
    amorphous : float, default=0.0
        Share of its mean intensity, 0 to 1, that damaged material keeps because it turns
        amorphous: the lattice fades into a smooth signal instead of vanishing.
    row_shift : ndarray of shape (H,), optional
        Shift of each recorded row to the right, in px.

    Returns
    -------
    signal : ndarray of shape (H, W), float32
        Expected signal.
    decay : ndarray of shape (H, W), float32
        Share of the columns' signal that is left, at the frame's own pixels.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value.
    ValueError
        If ``row_shift`` is not one finite number a row, or ``damage`` returns no finite damage.

    References
    ----------
    .. [1] Wang, Zheng, He and Razi, "AtomDiffuser: Time-Aware Degradation Modeling for Drift and
       Beam Damage in STEM Imaging", ICCV Workshops 2025.

    Examples
    --------
    >>> from stemkit.datasets import make_scene
    >>> from stemkit.degradation import damage_pattern, degrade
    >>> scene = make_scene((64, 64), random_state=0)
    >>> hole = damage_pattern("gaussian", (64, 64))
    >>> signal, decay = degrade(scene, (64, 64), damage=hole, strength=0.9)
    >>> round(float(decay.min()), 2), round(float(decay[0, 0]), 2)
    (0.1, 1.0)
    """
    shape = as_shape(shape)
    if row_shift is not None:
        row_shift = _check_row_shift(row_shift, shape[0])
    signal = render_columns(scene, shape, motion=motion, row_shift=row_shift)
    if damage is None:
        decay = np.ones(shape, dtype=np.float32)
    else:
        decay = decay_map(damage, strength, shape, motion=motion, row_shift=row_shift)
        smooth = amorphous * ndimage.gaussian_filter(signal, _AMORPHOUS_SIGMA) if amorphous else 0
        signal = signal * decay + smooth * (1 - decay)
    if len(scene.waves):
        signal += render_film(scene, shape, motion=motion)
    return signal, decay


def decay_map(
    damage: DamagePattern,
    strength: float,
    shape: tuple[int, int],
    *,
    motion: Motion | None = None,
    row_shift: NDArray[np.float64] | None = None,
) -> Float32Array:
    """Return the share of the signal that is left at each pixel of a frame, (H, W)."""
    y, x = frame_coordinates(shape, motion=motion, row_shift=row_shift)
    try:
        pattern = np.asarray(damage(y, x))
    except TypeError as error:
        raise ValueError(f"damage can't be called with arrays of coordinates: {error}") from error
    if pattern.shape != shape or not np.isfinite(pattern).all():
        raise ValueError(
            f"damage must return finite numbers of the shape {shape} of its coordinates; got "
            f"shape {pattern.shape}."
        )
    return (1 - (strength * pattern).clip(0, 1)).astype(np.float32)


def _check_row_shift(row_shift: ArrayLike, n_rows: int) -> NDArray[np.float64]:
    try:
        shift = np.asarray(row_shift, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("row_shift must be numbers, one for each row.") from error
    if shift.shape != (n_rows,) or not np.isfinite(shift).all():
        raise ValueError(
            f"row_shift must be finite and of shape ({n_rows},), one shift for each row; got "
            f"shape {shift.shape}."
        )
    return shift


@check_arguments(
    signal=["array-like"],
    dose=[Interval(float, 0, None, closed="neither", unit="counts per pixel"), None],
    background=[Interval(float, None, None)],
    random_state=["random_state"],
)
def record(
    signal: Float32Array,
    *,
    dose: float | None = None,
    background: float = 0.0,
    random_state: RandomState = None,
) -> Float32Array:
    """Add background and shot noise to the expected signal of a frame.

    Parameters
    ----------
    signal : ndarray of shape (..., H, W)
        Expected signal; an undamaged column's peak is about 1.
    dose : float, optional
        Counts per pixel at a signal of 1. Without it the frame has no noise.
    background : float, default=0.0
        Constant signal that is added, in the units of ``signal``.
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise.

    Returns
    -------
    ndarray of the same shape, float32
        In units of ``signal``: the counts divided by ``dose``.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value, such as a ``dose`` of 0.
    ValueError
        If ``signal`` holds NaN or inf, or too large a number of counts.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.degradation import record
    >>> frame = record(np.ones((100, 100), dtype="float32"), dose=25, random_state=0)
    >>> round(float(frame.mean()), 1), round(float(frame.std()), 1)  # 1 and 1 / sqrt(25)
    (1.0, 0.2)
    """
    try:
        values = np.asarray(signal)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"signal can't be converted to an array: {error}") from error
    if values.dtype.kind not in "buif" or values.ndim < 2:
        raise ValueError(
            f"signal must be real numbers of shape (..., H, W); got {values.dtype} of shape "
            f"{values.shape}."
        )
    with np.errstate(over="ignore"):
        expected = np.maximum(values + np.float32(background), 0)
        recorded = expected.astype(np.float32)
    if not np.isfinite(recorded).all():
        raise ValueError(
            "signal contains NaN or inf, or is beyond float32 with the background; replace these "
            "values."
        )
    if dose is None:
        return recorded
    with np.errstate(over="ignore"):
        counts = expected * dose
    if not (counts <= _MAX_COUNTS).all():
        raise ValueError(
            f"dose {dose:g} gives up to {float(expected.max()):.3g} times as many counts per "
            f"pixel, more than {_MAX_COUNTS:g}; lower dose, signal or background."
        )
    counts = check_generator(random_state).poisson(counts)
    with np.errstate(over="ignore"):
        recorded = (counts / dose).astype(np.float32)
    if not np.isfinite(recorded).all():
        raise ValueError(f"dose {dose:g} is too small for counts to be given in units of signal.")
    return recorded
