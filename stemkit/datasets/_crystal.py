"""Frames of crystals down a zone axis, as an annular dark-field detector sees them."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch

from .._motion import Motion
from .._random import RandomState, check_seed, sample_generator
from .._scene import Scene, render_columns, render_film
from ._cif import read_cif
from ._crystal_patch import Specimen, View, column_labels, grow
from ._projection import HAADF_EXPONENT, project
from ._structures import MATERIALS, named_structure

if TYPE_CHECKING:
    from ase import Atoms

Float64Array = NDArray[np.float64]
Simulator = Literal["gaussian", "abtem"]


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
    """Make clean frames of a crystal seen down a zone axis.

    Atoms behind each other make a column, which is as bright as the sum of their Z^1.7 and as
    wide as the probe. Each frame shows another place of the crystal, with its own vacancies, its
    own random distribution of what shares a site, and its own edge and background.

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
        Length of a pixel in nm.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    exponent : float, default=1.7
        An atom of atomic number Z is as bright as Z to this power: 1.7 for high angles, 1 for
        lower ones.
    probe_sigma : float, default=0.4
        Standard deviation of the probe in angstrom; 0.4 is a full width at half maximum of 0.94.
    thickness : float, default=10
        Thickness in nm, taken to the nearest whole number of periods along the zone axis. It
        decides how much tilt smears, and how much columns of random content differ.
    rotation : float or None, default=0
        Rotation of the crystal in degrees, counter-clockwise; None draws one for each frame.
    tilt : tuple of float, default=(0, 0)
        Misorientation in mrad, as (y, x): how far the upper end of a column leans downwards and to
        the right.
    strain : tuple of float, default=(0, 0, 0)
        Elongation along y and along x, and shear, the (yy, xx, yx) of a strain tensor, after the
        rotation.
    vacancies : float, default=0
        Share of the atoms that are missing, at random.
    vacuum : float, default=0
        Share of the frame beyond a straight edge of the crystal, whose direction is random.
    background : float, default=0
        Mean background, in shares of the brightest column. It varies slowly over the frame, by no
        more than half of itself.
    peak : float, default=255
        Signal of each frame's brightest pixel.
    simulator : {"gaussian", "abtem"}, default="gaussian"
        "abtem" computes how the beam scatters (200 kV, 20 mrad, detector from 70 to 110 mrad, by
        the PRISM method) and blurs it with `probe_sigma` for the size of the source; `exponent` is
        not used. It takes minutes to hours instead of milliseconds, and the extra `stemkit[abtem]`.
    random_state : int, Generator, RandomState or None, default=None
        Source of everything random. Frame i is the same whatever ``n_images``.

    Returns
    -------
    Bunch
        ``frames`` (n_images, H, W), float32; ``positions``, a DataFrame of all columns whose
        centre lies in the frame, with `frame`, `y` and `x` in px, `amplitude` (peak signal of the
        column by itself, without tilt) and `sigma` in px (both NaN with "abtem"), `n_atoms` and
        `species`: "Ti+O" is a column of both, and "Ga/Al" a site that either fills; ``species``:
        list of those that occur; ``pixel_size`` in nm; ``structure``: the unit cell, an ase Atoms.

    Raises
    ------
    ValueError
        If the material is not known, its CIF file is broken or beyond what is supported, no atoms
        are in view, or a number is out of its range.
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
    if n_images < 1:
        raise ValueError(f"n_images must be at least 1; got {n_images}.")
    if simulator not in get_args(Simulator):
        raise ValueError(f"simulator must be one of {get_args(Simulator)}; got {simulator!r}.")
    for name, value, unit in (
        ("pixel_size", pixel_size, " nm"),
        ("probe_sigma", probe_sigma, " angstrom"),
        ("thickness", thickness, " nm"),
        ("exponent", exponent, ""),
        ("peak", peak, ""),
    ):
        if not 0 < value < np.inf:
            raise ValueError(f"{name} must be above 0{unit}, and finite; got {value}.")
    for name, value in (("vacancies", vacancies), ("vacuum", vacuum)):
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be at least 0 and below 1; got {value}.")
    if not 0 <= background < np.inf:
        raise ValueError(f"background must not be negative; got {background}.")
    if len(shape) != 2 or any(int(side) != side or side < 1 for side in shape):
        raise ValueError(f"shape must be two whole numbers above 0, (H, W); got {shape!r}.")
    lean = np.tan(_check_few("tilt", tilt, 2, 200.0) / 1000)
    yy, xx, yx = _check_few("strain", strain, 3, 0.5)

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
        turn = np.deg2rad(rng.uniform(0, 360) if rotation is None else rotation)
        turned = Motion.from_parameters(shape, rotation=turn).matrix / pixel_size
        strained = np.array([[1 + yy, yx], [yx, 1 + xx]]) @ turned
        specimen = grow(projection.transformed(strained), view, rng)
        table = _tabulate(specimen, view, labels)
        if table.empty:
            size = " x ".join(f"{side * pixel_size:.3g}" for side in shape)
            raise ValueError(
                f"{_name(material)}: no atoms are in view of a frame of {size} nm; increase shape "
                f"or pixel_size, or lower vacuum or vacancies."
            )
        if simulator == "abtem":
            from ._abtem import simulate

            signal = simulate(specimen, view, rng)
        else:
            signal = render_columns(specimen.scene(view.sigma), shape)
        lattice = float(signal.max())
        signal /= lattice
        if background:
            signal += render_film(_uneven(background, shape, rng), shape)
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


def _check_few(name: str, values: ArrayLike, n: int, largest: float) -> Float64Array:
    array = np.asarray(values, dtype=float)
    # Written so that NaN fails it too.
    if array.shape != (n,) or not (np.abs(array) <= largest).all():
        raise ValueError(
            f"{name} must be {n} numbers, none of them beyond {largest:g} either way; "
            f"got {values!r}."
        )
    return array


def _find_structure(material: str | PathLike[str] | Atoms) -> Atoms:
    """Return the unit cell, from the table, a CIF file, or as it was given."""
    from ase import Atoms

    if isinstance(material, Atoms):
        if len(material) == 0 or material.cell.rank < 2:
            raise ValueError(
                f"material has {len(material)} atoms and a cell of rank {material.cell.rank}; pass "
                f"the unit cell of a crystal, with its lattice vectors set."
            )
        return material.copy()
    if material in MATERIALS:
        return named_structure(fspath(material))
    if not Path(material).is_file():
        raise ValueError(
            f"material {fspath(material)!r} is neither a CIF file that exists nor one of "
            f"{', '.join(MATERIALS)}."
        )
    return read_cif(material)


def _name(material: str | PathLike[str] | Atoms) -> str:
    return str(material) if isinstance(material, str | PathLike) else material.symbols.formula


def _tabulate(specimen: Specimen, view: View, labels: NDArray[np.str_]) -> pd.DataFrame:
    """List the columns whose centre lies in the frame, from the top to the bottom."""
    columns = specimen.columns
    y, x = columns.points.T
    height, width = view.shape
    seen = np.flatnonzero((y >= -0.5) & (y < height - 0.5) & (x >= -0.5) & (x < width - 0.5))
    seen = seen[np.lexsort((x[seen], y[seen]))]
    return pd.DataFrame(
        {
            "y": y[seen],
            "x": x[seen],
            "amplitude": columns.weight[seen],
            "sigma": view.sigma,
            "n_atoms": columns.n_atoms[seen],
            "species": labels[columns.kind[seen]],
        }
    )


def _uneven(level: float, shape: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Return a film about a level: three long waves that never take it below half of it."""
    turn = rng.uniform(0, 2 * np.pi, 3)
    number = 2 * np.pi / (rng.uniform(1, 2.5, 3) * max(shape))
    waves = np.column_stack(
        [
            number * np.sin(turn),
            number * np.cos(turn),
            rng.uniform(0, 2 * np.pi, 3),
            np.full(3, level / 6),
        ]
    )
    nothing = np.empty(0)
    constant = [0.0, 0.0, 0.0, level]
    return Scene(nothing, nothing, nothing, nothing, waves=np.vstack([constant, waves]))
