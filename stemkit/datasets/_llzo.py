"""A simulated series of the garnet LLZO that drifts and turns amorphous under the beam."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from .._motion import Motion
from .._random import RandomState, check_generator
from .._scene import Scene, frame_coordinates, render_columns, render_film
from ..degradation import DamagePattern, damage_pattern, record, row_shifts
from ._projection import HAADF_EXPONENT, cells_over, project
from ._structures import named_structure

if TYPE_CHECKING:
    from ase import Atoms

Float64Array = NDArray[np.float64]

# How far the specimen reaches beyond what is seen of it, in shares of the longer side.
_MARGIN = 0.1
# Critical dose, in electrons per square angstrom, at the thin edge and at the far side.
_CRITICAL_DOSE = (1500.0, 60000.0)


def make_llzo_series(
    n_frames: int = 5,
    *,
    shape: tuple[int, int] = (512, 512),
    pixel_size: float = 0.025,
    zone_axis: tuple[int, int, int] = (1, 1, 1),
    probe_size: float = 0.06,
    max_drift: float = 0.04,
    max_rotation: float = 0.3,
    max_shear: float = 0.005,
    frame_dose: float = 2000.0,
    dose: float | None = 10.0,
    background: float = 0.1,
    row_jitter: float = 0.5,
    random_state: RandomState = None,
) -> Bunch:
    """Make a cryo-STEM series of Li7La3Zr2O12 with known drift and damage.

    The crystal (cubic, Ia-3d) is seen down a zone axis as a wedge of uneven thickness with a
    little contamination, without which its drift would be known only up to a lattice vector. Under
    the beam it turns amorphous from the thin side on: the lattice fades as ``exp(-dose / D)``,
    with a critical dose D that differs from place to place, while the mean intensity stays. All
    frames are drawn from a field larger than any of them.

    Parameters
    ----------
    n_frames : int, default=5
        Number of frames, at least 2.
    shape : tuple of int, default=(512, 512)
        Shape (H, W) of a frame.
    pixel_size : float, default=0.025
        Length of a pixel in nm. Down [111] the lattice repeats every 1.06 nm.
    zone_axis : tuple of int, default=(1, 1, 1)
        Direction of view in the cubic cell.
    probe_size : float, default=0.06
        Standard deviation in nm of a column's Gaussian, from probe and vibration.
    max_drift : float, default=0.04
        Largest drift from frame to frame along each axis, in shares of the frame's side.
    max_rotation : float, default=0.3
        Largest rotation from frame to frame, in degrees.
    max_shear : float, default=0.005
        Largest shear from frame to frame, in px per row, as drift during the scan gives.
    frame_dose : float, default=2000
        Electrons per square angstrom that each frame adds to the damage.
    dose : float or None, default=10
        Counts per pixel at a signal of 1; None for no noise.
    background : float, default=0.1
        Constant signal that does not fade.
    row_jitter : float, default=0.5
        Standard deviation in px of the displacement of each recorded row.
    random_state : int, Generator, RandomState or None, default=None
        Source of everything random.

    Returns
    -------
    Bunch
        ``frames`` and ``clean`` (n_frames, H, W), the latter without jitter and noise; ``motion``
        (list of Motion), ``drift`` (n_frames, 2) in px, ``rotation`` in radians and ``shear``
        (n_frames,), all from the first frame; ``decay`` (n_frames, H, W) of the lattice since the
        first frame, at the first frame's pixels; ``dose`` (n_frames,) since the first frame and
        ``critical_dose`` (H, W), in electrons per square angstrom; ``pixel_size`` in nm;
        ``structure``: the unit cell, an ase Atoms.

    Raises
    ------
    ValueError
        If there are fewer than two frames, a length is not positive, or a dose or jitter negative.

    References
    ----------
    Awaka et al., "Crystal structure of fast lithium-ion-conducting cubic Li7La3Zr2O12",
    Chemistry Letters 40 (2011).

    Examples
    --------
    >>> from stemkit.datasets import make_llzo_series
    >>> series = make_llzo_series(3, shape=(64, 96), pixel_size=0.05, random_state=0)
    >>> series.frames.shape, series.drift[0].tolist(), series.dose.tolist()
    ((3, 64, 96), [0.0, 0.0], [0.0, 2000.0, 4000.0])
    """
    if n_frames < 2:
        raise ValueError(f"n_frames must be at least 2; got {n_frames}.")
    for name, length in (("pixel_size", pixel_size), ("probe_size", probe_size)):
        if not length > 0:
            raise ValueError(f"{name} must be above 0 nm; got {length}.")
    if not 0 <= frame_dose < np.inf:
        raise ValueError(f"frame_dose must be at least 0 and finite; got {frame_dose}.")
    rng = check_generator(random_state)
    structure = named_structure("LLZO")
    motions = _motions(n_frames, shape, max_drift, max_rotation, max_shear, rng)
    field = _field(motions)
    thickness = _thickness(shape, rng)
    sigma = probe_size / pixel_size
    lattice, density = _lattice(structure, field, pixel_size, zone_axis, sigma, thickness, rng)
    surroundings = _surroundings(field, shape, sigma, rng)
    critical_dose = _critical_dose(shape, rng)
    accumulated = frame_dose * np.arange(n_frames)

    def draw(index: int, row_shift: Float64Array | None = None) -> NDArray[np.float32]:
        motion = motions[index]
        y, x = frame_coordinates(shape, motion=motion, row_shift=row_shift)
        decay = np.exp(-accumulated[index] / critical_dose(y, x))
        # What is no crystal any more still scatters, only evenly.
        signal = render_columns(lattice, shape, motion=motion, row_shift=row_shift) * decay
        signal += density * thickness(y, x) * (1 - decay)
        signal += render_columns(surroundings, shape, motion=motion, row_shift=row_shift)
        signal += render_film(surroundings, shape, motion=motion) + background
        return signal.astype(np.float32)

    frames = [
        record(draw(i, row_shifts(shape[0], row_jitter, rng)), dose=dose, random_state=rng)
        for i in range(n_frames)
    ]
    at_first_frame = critical_dose(*frame_coordinates(shape))
    return Bunch(
        frames=np.stack(frames),
        clean=np.stack([draw(i) for i in range(n_frames)]),
        motion=motions,
        drift=np.stack([motion.drift for motion in motions]),
        rotation=np.array([motion.rotation for motion in motions]),
        shear=np.array([motion.shear for motion in motions]),
        decay=np.exp(-accumulated[:, None, None] / at_first_frame).astype(np.float32),
        dose=accumulated,
        critical_dose=at_first_frame.astype(np.float32),
        pixel_size=pixel_size,
        structure=structure,
    )


def _lattice(
    structure: Atoms,
    field: Float64Array,
    pixel_size: float,
    zone_axis: tuple[int, int, int],
    sigma: float,
    thickness: DamagePattern,
    rng: np.random.Generator,
) -> tuple[Scene, float]:
    """Return the lattice, brightest columns about 1, and its mean signal at full thickness."""
    projection = project(structure, zone_axis)
    weight = projection.column_weights(HAADF_EXPONENT)
    visible = weight > 0.01 * weight.max()  # lithium is not
    cell = projection.column_points()[visible] / pixel_size
    weight = weight[visible] / weight.max()
    basis = projection.basis / pixel_size
    cells = cells_over(basis, *field)
    origins = (cells + rng.uniform(0, 1, 2)) @ basis
    points = (origins[:, np.newaxis] + cell).reshape(-1, 2)
    inside = ((points > field[0]) & (points < field[1])).all(axis=1)
    points = points[inside]
    amplitude = np.tile(weight, len(cells))[inside] * thickness(*points.T)
    # Surface steps and defects make no two columns alike.
    amplitude *= rng.normal(1, 0.06, len(points)).clip(0.7, 1.3)

    density = float(2 * np.pi * sigma**2 * weight.sum() / abs(np.linalg.det(basis)))
    return Scene(points[:, 0], points[:, 1], amplitude, np.full(len(points), sigma)), density


def _surroundings(
    field: Float64Array, shape: tuple[int, int], sigma: float, rng: np.random.Generator
) -> Scene:
    """What the beam does not fade: spots of contamination, and a wedge of diffuse scattering."""
    n_spots = int(12 * np.prod((field[1] - field[0]) / shape))
    y, x = rng.uniform(field[0], field[1], (n_spots, 2)).T
    # A level, and a quarter of a long wave that rises along x.
    waves = np.array([[0.0, 0.0, 0.0, 0.25], [0.0, np.pi / 2 / shape[1], -3 * np.pi / 4, 0.15]])
    amplitude = rng.uniform(0.05, 0.25, n_spots)
    return Scene(y, x, amplitude, sigma * rng.uniform(2, 8, n_spots), waves=waves)


def _field(motions: list[Motion]) -> Float64Array:
    """Return the corners (y, x) of a field that covers every frame, in first-frame coordinates."""
    height, width = motions[0].shape
    corners = [(0, 0), (0, width), (height, 0), (height, width)]
    seen = np.concatenate([motion.inverse().apply(corners) for motion in motions])
    rim = _MARGIN * max(height, width)
    return np.stack([seen.min(axis=0) - rim, seen.max(axis=0) + rim])


def _thickness(shape: tuple[int, int], rng: np.random.Generator) -> DamagePattern:
    """Relative thickness: rises from the left to the right, unevenly."""
    uneven = damage_pattern("perlin", shape, cell=min(shape) / 5, random_state=rng)

    def thickness(y: Float64Array, x: Float64Array) -> Float64Array:
        ramp = 0.35 + 0.65 / (1 + np.exp(-6 * (x / shape[1] - 0.3)))
        return ramp * (0.75 + 0.35 * uneven(y, x))

    return thickness


def _critical_dose(shape: tuple[int, int], rng: np.random.Generator) -> DamagePattern:
    """Critical dose: grows by the same factor with every step away from the thin side."""
    uneven = damage_pattern("perlin", shape, cell=min(shape) / 3, random_state=rng)
    thin, thick = np.log(_CRITICAL_DOSE)

    def critical_dose(y: Float64Array, x: Float64Array) -> Float64Array:
        way = x / shape[1] + 0.35 * (uneven(y, x) - 0.5)
        return np.exp(thin + (thick - thin) * way)

    return critical_dose


def _motions(
    n_frames: int,
    shape: tuple[int, int],
    max_drift: float,
    max_rotation: float,
    max_shear: float,
    rng: np.random.Generator,
) -> list[Motion]:
    """Motions from the first frame to each: a steady drift that wavers."""
    steady = rng.uniform(-0.6, 0.6, 2)
    motions = [Motion(shape)]
    for _ in range(n_frames - 1):
        step = Motion.from_parameters(
            shape,
            drift=max_drift * (steady + rng.uniform(-0.4, 0.4, 2)) * shape,
            rotation=np.deg2rad(rng.uniform(-max_rotation, max_rotation)),
            shear=rng.uniform(-max_shear, max_shear),
        )
        motions.append(motions[-1].then(step))
    return motions
