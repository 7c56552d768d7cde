"""Annular dark-field frames of crystals along a zone axis."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from .._constraints import HasMethods, Interval, Options, Sequence, check_arguments
from .._motion import Motion
from .._random import RandomState, check_seed, sample_generator
from .._scene import (
    Scene,
    as_shape,
    constant_film,
    is_inside,
    plane_waves,
    render_columns,
    render_film,
)
from ..exceptions import InvalidParameterError
from ._cif import read_cif
from ._crystal_patch import CrystalPatch, View, column_labels, cut_patch
from ._projection import HAADF_EXPONENT, ZONE_AXIS, project
from ._structures import MATERIALS, named_structure

if TYPE_CHECKING:
    from ase import Atoms

Simulator = Literal["gaussian", "abtem"]


class NoAtomsInViewError(ValueError):
    """A frame shows vacuum alone."""


@check_arguments(
    material=["path", HasMethods("get_scaled_positions", "get_cell", example="an ase.Atoms")],
    n_images=[Interval(int, 1, None)],
    zone_axis=[ZONE_AXIS],
    pixel_size=[Interval(float, 1e-3, 1, unit="nm")],
    shape=["frame shape"],
    exponent=[Interval(float, 0, 20, closed="right")],
    probe_sigma=[Interval(float, 1e-3, 10, unit="angstrom")],
    thickness=[Interval(float, 0, 1000, closed="right", unit="nm")],
    rotation=[Interval(float, None, None, unit="degrees"), None],
    tilt=[Sequence(Interval(float, -200, 200, unit="mrad"), 2)],
    strain=[Sequence(Interval(float, -0.5, 0.5), 3)],
    vacancies=[Interval(float, 0, 1, closed="left")],
    vacuum=[Interval(float, 0, 1, closed="left")],
    background=[Interval(float, 0, 1e6)],
    peak=[Interval(float, 0, 1e30, closed="right")],
    simulator=[Options("gaussian", "abtem")],
    random_state=["random_state"],
)
def make_crystal_images(
    material: str | PathLike[str] | Atoms = "Si",
    n_images: int = 1,
    *,
    zone_axis: tuple[int, int, int] = (0, 0, 1),
    pixel_size: float = 0.02,
    shape: tuple[int, int] = (256, 256),
    exponent: float = HAADF_EXPONENT,
    probe_sigma: float = 0.4,
    thickness: float = 10.0,
    rotation: float | None = 0.0,
    tilt: tuple[float, float] = (0.0, 0.0),
    strain: tuple[float, float, float] = (0.0, 0.0, 0.0),
    vacancies: float = 0.0,
    vacuum: float = 0.0,
    background: float = 0.0,
    peak: float = 255.0,
    simulator: Simulator = "gaussian",
    random_state: RandomState = None,
) -> Bunch:
    """Make clean frames of a crystal along a zone axis.

    Atoms behind each other form a column, which is as bright as the sum of their Z^1.7 and as wide
    as the probe. Each frame shows another part of the crystal, with its own vacancies, its own
    random distribution of the elements that share a site, and its own edge and background.

    Parameters
    ----------
    material : str, path or ase.Atoms, default="Si"
        One of "Al", "AlGaN", "BaTiO3", "GaN", "InN", "LLZO", "NaCN", "Si", "SrTiO3", "ZnMgTe",
        "ZrO2" (monoclinic) and "graphene"; or a CIF file; or a unit cell. In "AlGaN" and "ZnMgTe"
        each metal fills half of the sites, at random; other compositions are read from a CIF
        file's occupancies.
    n_images : int, default=1
        Number of frames.
    zone_axis : tuple of int, default=(0, 0, 1)
        Direction in the unit cell that points towards the viewer, [uvw]. The shortest period of
        the projection points to the right.
    pixel_size : float, default=0.02
        Length of a pixel in nm, 0.001 to 1.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    exponent : float, default=1.7
        An atom of atomic number Z is as bright as Z to this power: 1.7 for high angles, 1 for
        lower ones.
    probe_sigma : float, default=0.4
        Standard deviation of the probe in angstrom, up to 10; 0.4 is a full width at half maximum
        of 0.94.
    thickness : float, default=10
        Thickness in nm, rounded to a whole number of periods along the zone axis. It determines how
        much a tilt blurs the columns, and how much columns of random content differ.
    rotation : float or None, default=0
        Rotation of the crystal in degrees, counter-clockwise; None draws one for each frame.
    tilt : tuple of float, default=(0, 0)
        Misorientation in mrad, up to 200, as (y, x): the upper end of a column leans downwards and
        to the right.
    strain : tuple of float, default=(0, 0, 0)
        Elongation along y and along x, and shear, the (yy, xx, yx) of a strain tensor, up to 0.5,
        after the rotation.
    vacancies : float, default=0
        Fraction of the atoms that are missing, at random.
    vacuum : float, default=0
        Fraction of the frame beyond a straight edge of the crystal, whose direction is random.
    background : float, default=0
        Mean background as a fraction of the brightest column. It varies slowly over the frame, by
        at most half of its mean.
    peak : float, default=255
        Signal of each frame's brightest pixel.
    simulator : {"gaussian", "abtem"}, default="gaussian"
        "abtem" simulates the scattering of the beam (200 kV, 20 mrad, detector from 70 to 110 mrad,
        by the PRISM method) and blurs it with `probe_sigma` for the size of the source; `exponent`
        is not used. It takes minutes to hours instead of milliseconds, and the extra
        `stemkit[abtem]`.
    random_state : int, Generator, RandomState or None, default=None
        Source of randomness. Frame i does not depend on ``n_images``.

    Returns
    -------
    Bunch
        ``frames`` (n_images, H, W), float32; ``positions``, a DataFrame of all columns whose
        centre lies in the frame, with `frame`, `y` and `x` in px, `amplitude` (peak signal of the
        column alone, without tilt) and `sigma` in px (both NaN with "abtem"), `n_atoms` and
        `species`: "Ti+O" is a column of both, and "Ga/Al" a site that either fills; ``species``:
        list of those that occur; ``pixel_size`` in nm; ``structure``: the unit cell, an ase Atoms.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value.
    ValueError
        If the material is unknown, its CIF file is damaged or not supported, or no atoms are in
        view.
    ImportError
        If `simulator` is "abtem" and abTEM is not installed.

    References
    ----------
    .. [1] S. J. Pennycook and D. E. Jesson, "High-resolution Z-contrast imaging of crystals",
           Ultramicroscopy 37 (1991), for the sum over a column.
    .. [2] J. Madsen and T. Susi, "The abTEM code", Open Research Europe 1 (2021).

    Examples
    --------
    >>> from stemkit.datasets import make_crystal_images
    >>> images = make_crystal_images("SrTiO3", shape=(64, 64), random_state=0)
    >>> images.frames.shape, images.species
    ((1, 64, 64), ['O', 'Sr', 'Ti+O'])
    >>> columns = images.positions.groupby("species").amplitude.mean()
    >>> round(float(columns["Sr"] / columns["O"]), 1), round((38 / 8) ** 1.7, 1)
    (14.1, 14.1)
    """
    shape = as_shape(shape)
    lean = np.tan(np.asarray(tilt, dtype=float) / 1000)
    yy, xx, yx = np.asarray(strain, dtype=float)
    structure = _find_structure(material)
    projection = project(structure, zone_axis)
    view = View(
        shape=shape,
        pixel_size=pixel_size,
        sigma=probe_sigma / 10 / pixel_size,
        exponent=exponent,
        thickness=thickness,
        lean=lean,
        vacancies=vacancies,
        vacuum=vacuum,
        every_atom=simulator == "abtem" or bool(lean.any()),
    )
    labels = np.array(column_labels(projection))
    seed = check_seed(random_state)
    frames, tables = [], []
    for index in range(n_images):
        rng = sample_generator(seed, index)
        turn = np.deg2rad(rng.uniform(0, 360) if rotation is None else float(rotation))
        turned = Motion.from_parameters(shape, rotation=turn).matrix / pixel_size
        strained = np.array([[1 + yy, yx], [yx, 1 + xx]]) @ turned
        patch = cut_patch(projection.transformed(strained), view, rng)
        table = _tabulate(patch, view, labels)
        if table.empty:
            size = " x ".join(f"{side * pixel_size:.3g}" for side in shape)
            raise NoAtomsInViewError(
                f"{_name(material)}: no atoms are in view of a frame of {size} nm; increase shape "
                f"or pixel_size, or lower vacuum or vacancies."
            )
        if simulator == "abtem":
            from ._abtem import simulate

            signal = simulate(patch, view, rng)
        else:
            signal = render_columns(patch.scene(view.sigma), shape)
        lattice = float(signal.max())
        if not lattice > 0:
            raise ValueError(
                "probe_sigma is so small that columns lie between pixels; increase it."
            )
        signal /= lattice
        if background:
            signal += render_film(_uneven_film(background, shape, rng), shape)
        brightest = float(signal.max())
        frames.append(signal * np.float32(peak / brightest))
        table["amplitude"] *= peak / brightest / lattice
        if simulator == "abtem":
            table[["amplitude", "sigma"]] = np.nan
        table.insert(0, "frame", index)
        tables.append(table)
    positions = pd.concat(tables, ignore_index=True)
    return Bunch(
        frames=np.stack(frames),
        positions=positions,
        species=sorted(positions["species"].unique()),
        pixel_size=pixel_size,
        structure=structure,
    )


def _find_structure(material: str | PathLike[str] | Atoms) -> Atoms:
    """Return the unit cell: from the table, from a CIF file, or a copy of the given one."""
    if isinstance(material, str | PathLike):
        if material in MATERIALS:
            return named_structure(fspath(material))
        if not Path(material).is_file():
            raise ValueError(
                f"material {fspath(material)!r} is neither a CIF file that exists nor one of "
                f"{', '.join(MATERIALS)}."
            )
        return read_cif(material)
    from ase import Atoms

    if not isinstance(material, Atoms):
        raise InvalidParameterError(
            f"material must be a name, a CIF file or an ase.Atoms; got a {type(material).__name__}."
        )
    if len(material) == 0 or material.cell.rank < 2:
        raise ValueError(
            f"material has {len(material)} atoms and a cell of rank {material.cell.rank}; pass the "
            f"unit cell of a crystal, with its lattice vectors set."
        )
    lengths = material.cell.lengths()
    if not (
        np.isfinite(material.positions).all() and lengths.max() < 1e4 and material.numbers.all()
    ):
        raise ValueError(
            "material has positions or a cell that are not finite, or atoms without an element; "
            "pass the unit cell of a crystal."
        )
    if lengths[lengths > 0].min() < 0.5:
        raise ValueError(
            f"material has a lattice vector of {lengths[lengths > 0].min():.3g} angstrom, shorter "
            f"than any crystal's; give lengths in angstrom."
        )
    return material.copy()


def _name(material: str | PathLike[str] | Atoms) -> str:
    return str(material) if isinstance(material, str | PathLike) else material.symbols.formula


def _tabulate(patch: CrystalPatch, view: View, labels: NDArray[np.str_]) -> pd.DataFrame:
    """List the columns whose centre lies in the frame, from top to bottom."""
    columns = patch.columns
    y, x = columns.points.T
    inside = np.flatnonzero(is_inside(y, x, view.shape))
    inside = inside[np.lexsort((x[inside], y[inside]))]
    return pd.DataFrame(
        {
            "y": y[inside],
            "x": x[inside],
            "amplitude": columns.weight[inside],
            "sigma": view.sigma,
            "n_atoms": columns.n_atoms[inside],
            "species": labels[columns.kind[inside]],
        }
    )


def _uneven_film(level: float, shape: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Return a film of three long waves around a level, nowhere less than half of it."""
    direction = rng.uniform(0, 2 * np.pi, 3)
    length = rng.uniform(1, 2.5, 3) * max(shape)
    waves = plane_waves(length, direction, rng.uniform(0, 2 * np.pi, 3), level / 6)
    film = np.concatenate([constant_film(level), waves])
    return Scene.from_points(np.empty((0, 2)), 0.0, 1.0, waves=film)
