"""A simulated series of the garnet LLZO, which drifts and turns amorphous under the beam."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from .._constraints import Interval, check_arguments
from .._motion import Motion
from .._random import RandomState, check_generator
from .._scene import (
    Scene,
    as_shape,
    constant_film,
    frame_coordinates,
    plane_waves,
    render_columns,
    render_film,
)
from ..degradation import DamagePattern, damage_pattern, record, row_shifts
from ._projection import HAADF_EXPONENT, ZONE_AXIS, cells_over, project
from ._structures import named_structure

if TYPE_CHECKING:
    from ase import Atoms

Float64Array = NDArray[np.float64]

# How far the specimen extends beyond all frames, as a fraction of the longer side.
_MARGIN = 0.1
# Critical dose, in electrons per square angstrom, at the thin and at the thick side.
_CRITICAL_DOSE = (1500.0, 60000.0)


@check_arguments(
    n_frames=[Interval(int, 2, None)],
    shape=["frame shape"],
    pixel_size=[Interval(float, 1e-3, 1, unit="nm")],
    zone_axis=[ZONE_AXIS],
    probe_size=[Interval(float, 1e-3, 1, unit="nm")],
    max_drift=[Interval(float, 0, 5)],
    max_rotation=[Interval(float, 0, 180, unit="degrees")],
    max_shear=[Interval(float, 0, 0.5, closed="left", unit="px per row")],
    frame_dose=[Interval(float, 0, 1e12)],
    dose=[Interval(float, 0, None, closed="neither", unit="counts per pixel"), None],
    background=[Interval(float, -1e30, 1e30)],
    row_jitter=[Interval(float, 0, 100, unit="px")],
    random_state=["random_state"],
)
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

    The crystal (cubic, Ia-3d) is shown along a zone axis as a wedge of uneven thickness with some
    contamination, without which its drift would be known only up to a lattice vector. Under the
    beam it turns amorphous from the thin side on: the lattice fades as ``exp(-dose / D)``, with a
    critical dose D that varies over the specimen, while the mean intensity stays. All frames show
    parts of a field that is larger than any of them.

    Parameters
    ----------
    n_frames : int, default=5
        Number of frames, at least 2.
    shape : tuple of int, default=(512, 512)
        Shape (H, W) of a frame.
    pixel_size : float, default=0.025
        Length of a pixel in nm. Along [111] the lattice repeats every 1.06 nm.
    zone_axis : tuple of int, default=(1, 1, 1)
        Zone axis in the cubic cell.
    probe_size : float, default=0.06
        Standard deviation in nm of a column's Gaussian, from probe and vibration.
    max_drift : float, default=0.04
        Maximum drift from frame to frame along each axis, as a fraction of the frame's side.
    max_rotation : float, default=0.3
        Maximum rotation from frame to frame, in degrees.
    max_shear : float, default=0.005
        Maximum shear from frame to frame, in px per row, as drift during the scan causes.
    frame_dose : float, default=2000
        Electrons per square angstrom that each frame adds to the damage.
    dose : float or None, default=10
        Counts per pixel at a signal of 1; None for no noise.
    background : float, default=0.1
        Constant signal that does not fade.
    row_jitter : float, default=0.5
        Standard deviation in px of the displacement of each recorded row.
    random_state : int, Generator, RandomState or None, default=None
        Source of randomness.

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
    InvalidParameterError
        If an argument has a wrong type or value.
    ValueError
        If ``zone_axis`` is (0, 0, 0).

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
    shape = as_shape(shape)
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

    def render(index: int, row_shift: Float64Array | None = None) -> NDArray[np.float32]:
        motion = motions[index]
        y, x = frame_coordinates(shape, motion=motion, row_shift=row_shift)
        decay = np.exp(-accumulated[index] / critical_dose(y, x))
        # Amorphous material still scatters, but evenly.
        signal = render_columns(lattice, shape, motion=motion, row_shift=row_shift) * decay
        signal += density * thickness(y, x) * (1 - decay)
        signal += render_columns(surroundings, shape, motion=motion, row_shift=row_shift)
        signal += render_film(surroundings, shape, motion=motion) + background
        return signal.astype(np.float32)

    frames = [
        record(render(i, row_shifts(shape[0], row_jitter, rng)), dose=dose, random_state=rng)
        for i in range(n_frames)
    ]
    at_first_frame = critical_dose(*frame_coordinates(shape))
    return Bunch(
        frames=np.stack(frames),
        clean=np.stack([render(i) for i in range(n_frames)]),
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
    visible = weight > 0.01 * weight.max()  # leaves out the columns of lithium
    cell = projection.column_points()[visible] / pixel_size
    weight = weight[visible] / weight.max()
    basis = projection.basis / pixel_size
    cells = cells_over(basis, *field)
    origins = (cells + rng.uniform(0, 1, 2)) @ basis
    points = (origins[:, np.newaxis] + cell).reshape(-1, 2)
    inside = ((points > field[0]) & (points < field[1])).all(axis=1)
    points = points[inside]
    amplitude = np.tile(weight, len(cells))[inside] * thickness(*points.T)
    # Surface steps and defects make all columns differ.
    amplitude *= rng.normal(1, 0.06, len(points)).clip(0.7, 1.3)

    density = float(2 * np.pi * sigma**2 * weight.sum() / abs(np.linalg.det(basis)))
    return Scene.from_points(points, amplitude, sigma), density


def _surroundings(
    field: Float64Array, shape: tuple[int, int], sigma: float, rng: np.random.Generator
) -> Scene:
    """Return what does not fade: spots of contamination, and a wedge of diffuse scattering."""
    n_spots = int(12 * np.prod((field[1] - field[0]) / shape))
    points = rng.uniform(field[0], field[1], (n_spots, 2))
    # A constant, and a quarter of a long wave that rises along x.
    wedge = plane_waves(np.array([4.0 * shape[1]]), np.zeros(1), np.array([-3 * np.pi / 4]), 0.15)
    amplitude = rng.uniform(0.05, 0.25, n_spots)
    spread = sigma * rng.uniform(2, 8, n_spots)
    waves = np.concatenate([constant_film(0.25), wedge])
    return Scene.from_points(points, amplitude, spread, waves=waves)


def _field(motions: list[Motion]) -> Float64Array:
    """Return the corners (y, x) of a field that covers every frame, in first-frame coordinates."""
    height, width = motions[0].shape
    corners = [(0, 0), (0, width), (height, 0), (height, width)]
    covered = np.concatenate([motion.inverse().apply(corners) for motion in motions])
    rim = _MARGIN * max(height, width)
    return np.stack([covered.min(axis=0) - rim, covered.max(axis=0) + rim])


def _thickness(shape: tuple[int, int], rng: np.random.Generator) -> DamagePattern:
    """Return a relative thickness that rises from left to right, unevenly."""
    uneven = damage_pattern("perlin", shape, cell=min(shape) / 5, random_state=rng)

    def thickness(y: Float64Array, x: Float64Array) -> Float64Array:
        ramp = 0.35 + 0.65 / (1 + np.exp(-6 * (x / shape[1] - 0.3)))
        return ramp * (0.75 + 0.35 * uneven(y, x))

    return thickness


def _critical_dose(shape: tuple[int, int], rng: np.random.Generator) -> DamagePattern:
    """Return a critical dose that grows exponentially from left to right, unevenly."""
    uneven = damage_pattern("perlin", shape, cell=min(shape) / 3, random_state=rng)
    thin, thick = np.log(_CRITICAL_DOSE)

    def critical_dose(y: Float64Array, x: Float64Array) -> Float64Array:
        position = x / shape[1] + 0.35 * (uneven(y, x) - 0.5)
        return np.exp(thin + (thick - thin) * position)

    return critical_dose


def _motions(
    n_frames: int,
    shape: tuple[int, int],
    max_drift: float,
    max_rotation: float,
    max_shear: float,
    rng: np.random.Generator,
) -> list[Motion]:
    """Return the motions from the first frame to each: a steady drift that fluctuates."""
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
