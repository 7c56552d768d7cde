"""What the beam and the microscope do to frames: damage, dose, background, row jitter, drift.

Patterns are functions of continuous coordinates, so that they follow the specimen exactly
wherever it drifts; :func:`degrade` composes everything into one recorded frame.

References
----------
Wang, Zheng, He and Razi, "AtomDiffuser: Time-Aware Degradation Modeling for Drift and Beam Damage
in STEM Imaging", ICCV Workshops 2025.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ._motion import Motion
from ._random import RandomState, check_generator
from ._scene import Scene, frame_coordinates, render_columns, render_film
from ._validation import Float32Array

__all__ = ["DamagePattern", "damage_pattern", "degrade", "record"]

Kind = Literal["gaussian", "perlin", "random"]
# Over how many px amorphised matter has lost its order: about one lattice vector.
_AMORPHOUS_SIGMA = 8.0

Coordinates: TypeAlias = NDArray[np.float64]
DamagePattern: TypeAlias = Callable[[Coordinates, Coordinates], Coordinates]


def damage_pattern(
    kind: Kind,
    shape: tuple[int, int],
    *,
    cell: float | None = None,
    center: tuple[float, float] | None = None,
    row_jitter: float = 1.0,
    random_state: RandomState = None,
) -> DamagePattern:
    """Make a pattern of unit damage, a function of first-frame coordinates.

    Parameters
    ----------
    kind : {"gaussian", "perlin", "random"}
        A hole in the middle; smooth noise of low frequency; fine noise whose rows are jittered.
    shape : tuple of int
        Shape (H, W) of the frame over which the pattern spans 0 to 1.
    cell : float, optional
        Size of the pattern in px: the Gaussian's standard deviation (default: 0.18 of the shorter
        side), or the distance of the noise's grid points (default: a quarter of the shorter side
        for "perlin", 16 px for "random").
    center : tuple of float, optional
        Middle (y, x) of the Gaussian; the frame's by default.
    row_jitter : float, default=1.0
        Standard deviation in px of the displacement of each row of a "random" pattern.
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise.

    Returns
    -------
    callable
        ``pattern(y, x)`` gives the damage in 0..1 at coordinates of any one shape.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

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
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {get_args(Kind)}; got {kind!r}.")
    if cell is not None and not cell > 0:
        raise ValueError(f"cell must be above 0 px; got {cell}. Use None for the usual size.")
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
    """Cubic spline through uniform noise, scaled to 0..1 over the frame and its surroundings."""
    # Half a frame on every side, so that what drifts into view has a pattern of its own.
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
    """Draw how far to the right each row is recorded, in px; None where rows do not jitter."""
    if not 0 <= row_jitter < np.inf:
        raise ValueError(f"row_jitter must be at least 0 px and finite; got {row_jitter}.")
    return rng.normal(0, row_jitter, n_rows) if row_jitter else None


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
    """Draw a scene after motion and damage, without noise.

    Parameters
    ----------
    scene : Scene
        The specimen.
    shape : tuple of int
        Shape (H, W) of the frame.
    motion : Motion, optional
        Where the specimen has moved to since the first frame.
    damage : callable, optional
        Unit damage as a function of first-frame coordinates.
    strength : float, default=1.0
        What the pattern is multiplied with; the damage is cut at 1.
    amorphous : float, default=0.0
        Share of its mean intensity, 0 to 1, that damaged material keeps as amorphised matter
        does: the lattice fades into a smooth signal instead of into nothing.
    row_shift : ndarray of shape (H,), optional
        How far to the right each row was recorded, in px.

    Returns
    -------
    signal : ndarray of shape (H, W), float32
        Expected signal.
    decay : ndarray of shape (H, W), float32
        Share of the columns' signal that is left, at the frame's own pixels.

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
    return (1 - (strength * damage(y, x)).clip(0, 1)).astype(np.float32)


def record(
    signal: Float32Array,
    *,
    dose: float | None = None,
    background: float = 0.0,
    random_state: RandomState = None,
) -> Float32Array:
    """Add background and shot noise to an expected signal.

    Parameters
    ----------
    signal : ndarray of shape (..., H, W)
        Expected signal; an undamaged column's peak is about 1.
    dose : float, optional
        Counts per pixel at a signal of 1. Without it the frame has no noise.
    background : float, default=0.0
        Constant signal below everything, in the units of ``signal``.
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise.

    Returns
    -------
    ndarray of the same shape, float32
        In units of ``signal``: the counts divided by ``dose``.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.degradation import record
    >>> frame = record(np.ones((100, 100), dtype="float32"), dose=25, random_state=0)
    >>> round(float(frame.mean()), 1), round(float(frame.std()), 1)  # 1 and 1 / sqrt(25)
    (1.0, 0.2)
    """
    expected = np.maximum(signal + np.float32(background), 0)
    if dose is None:
        return expected.astype(np.float32)
    if not 0 < dose < np.inf:
        raise ValueError(
            f"dose must be above 0 counts per pixel and finite; got {dose}. Use None for no noise."
        )
    counts = check_generator(random_state).poisson(expected * dose)
    return (counts / dose).astype(np.float32)
