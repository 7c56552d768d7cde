"""Unit cells of the crystals that can be given by name, with their sources."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase import Atoms

Float64Array = NDArray[np.float64]
# Element, fractional position, and the fraction of the sites that it fills.
Site = tuple[str, tuple[float, float, float], float]


@dataclass(frozen=True)
class Material:
    """A crystal as the literature describes it: space group, cell in angstrom, and sites."""

    spacegroup: int
    cell: tuple[float, ...]
    sites: tuple[Site, ...]
    source: str
    is_sheet: bool = False


def _cubic(a: float) -> tuple[float, ...]:
    return (a, a, a, 90, 90, 90)


def _hexagonal(a: float, c: float) -> tuple[float, ...]:
    return (a, a, c, 90, 90, 120)


def _wurtzite(a: float, c: float, u: float, metals: dict[str, float], source: str) -> Material:
    sites = tuple((metal, (1 / 3, 2 / 3, 0.0), share) for metal, share in metals.items())
    return Material(186, _hexagonal(a, c), (*sites, ("N", (1 / 3, 2 / 3, u), 1.0)), source)


_NITRIDES = (
    "cell: Vurgaftman and Meyer, J. Appl. Phys. 94, 3675 (2003); "
    "u: Bernardini et al., Phys. Rev. B 56, R10024 (1997)"
)
# Carbon and nitrogen lie 0.58 angstrom on either side of the anion's position.
_CYANIDE = 0.5 - 0.58 / 5.893

MATERIALS = {
    "Al": Material(
        225,
        _cubic(4.0496),
        (("Al", (0, 0, 0), 1.0),),
        "Straumanis and Woodward, Acta Cryst. A27, 549 (1971)",
    ),
    "AlGaN": _wurtzite(
        (3.112 + 3.189) / 2,
        (4.982 + 5.185) / 2,
        (0.380 + 0.376) / 2,
        {"Al": 0.5, "Ga": 0.5},
        f"Vegard's law between AlN and GaN; {_NITRIDES}",
    ),
    "BaTiO3": Material(
        99,
        (3.99095, 3.99095, 4.0352, 90, 90, 90),
        (
            ("Ba", (0, 0, 0), 1.0),
            ("Ti", (0.5, 0.5, 0.5224), 1.0),
            ("O", (0.5, 0.5, -0.0244), 1.0),
            ("O", (0.5, 0, 0.4895), 1.0),
        ),
        "tetragonal, 300 K: Kwei et al., J. Phys. Chem. 97, 2368 (1993)",
    ),
    "GaN": _wurtzite(3.189, 5.185, 0.376, {"Ga": 1.0}, _NITRIDES),
    "InN": _wurtzite(3.545, 5.703, 0.377, {"In": 1.0}, _NITRIDES),
    "LLZO": Material(
        230,
        _cubic(12.97),
        (
            ("La", (0.125, 0.0, 0.25), 1.0),
            ("Zr", (0.0, 0.0, 0.0), 1.0),
            ("O", (0.1004, 0.1951, 0.2817), 1.0),
            ("Li", (0.375, 0.0, 0.25), 0.56),
            ("Li", (0.0966, 0.6853, 0.5777), 0.44),
        ),
        "cubic Li7La3Zr2O12: Awaka et al., Chem. Lett. 40, 60 (2011)",
    ),
    "NaCN": Material(
        225,
        _cubic(5.893),
        (
            ("Na", (0, 0, 0), 1.0),
            ("C", (_CYANIDE, 0, 0), 1 / 6),
            ("N", (_CYANIDE, 0, 0), 1 / 6),
        ),
        "cubic, above 284 K: Rowe et al., J. Chem. Phys. 58, 2039 (1973). The ions point along "
        "any cube axis, at random; here each of their ends is filled independently",
    ),
    "Si": Material(
        227,
        _cubic(5.43102),
        (("Si", (0, 0, 0), 1.0),),
        "Mohr, Newell and Taylor, Rev. Mod. Phys. 88, 035009 (2016)",
    ),
    "SrTiO3": Material(
        221,
        _cubic(3.905),
        (("Sr", (0, 0, 0), 1.0), ("Ti", (0.5, 0.5, 0.5), 1.0), ("O", (0.5, 0.5, 0), 1.0)),
        "Okazaki and Kawaminami, Mater. Res. Bull. 8, 545 (1973)",
    ),
    "ZnMgTe": Material(
        216,
        _cubic((6.1037 + 6.42) / 2),
        (
            ("Zn", (0, 0, 0), 0.5),
            ("Mg", (0, 0, 0), 0.5),
            ("Te", (0.25, 0.25, 0.25), 1.0),
        ),
        "Vegard's law between ZnTe (Madelung, Semiconductors: Data Handbook, 2004) and MgTe "
        "(Hartmann et al., J. Appl. Phys. 80, 6257 (1996))",
    ),
    "ZrO2": Material(
        14,
        (5.1505, 5.2116, 5.3173, 90, 99.23, 90),
        (
            ("Zr", (0.2754, 0.0395, 0.2083), 1.0),
            ("O", (0.0700, 0.3317, 0.3447), 1.0),
            ("O", (0.4496, 0.7569, 0.4792), 1.0),
        ),
        "monoclinic: Howard, Hill and Reichert, Acta Cryst. B44, 116 (1988)",
    ),
    "graphene": Material(
        191,
        _hexagonal(2.46, 3.35),
        (("C", (1 / 3, 2 / 3, 0.5), 1.0),),
        "Castro Neto et al., Rev. Mod. Phys. 81, 109 (2009)",
        is_sheet=True,
    ),
}


def named_structure(name: str) -> Atoms:
    """Build the conventional unit cell of a material of the table.

    Returns
    -------
    ase.Atoms
        Sites that elements share or that are partly empty are listed once; ``site_shares`` returns
        what fills them. A sheet has no period along c.
    """
    return _named_structure(name).copy()


@contextmanager
def without_ase_deprecations() -> Iterator[None]:
    """Ignore the warning that NumPy 2.5 gives where ase sets the shape of an array."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Setting the shape on a NumPy array", category=DeprecationWarning
        )
        yield


# Building a cell of high symmetry takes longer than rendering a frame of it.
@cache
def _named_structure(name: str) -> Atoms:
    from ase.spacegroup import crystal

    material = MATERIALS[name]
    with without_ase_deprecations():
        atoms = crystal(
            [element for element, _, _ in material.sites],
            [position for _, position, _ in material.sites],
            occupancies=[share for _, _, share in material.sites],
            onduplicates="keep",
            spacegroup=material.spacegroup,
            cellpar=material.cell,
        )
    atoms.pbc = (True, True, not material.is_sheet)
    return atoms


def site_shares(structure: Atoms) -> tuple[NDArray[np.int_], Float64Array]:
    """Return which elements fill each site, and in what fractions.

    ase stores the occupancies of mixed and partly empty sites in ``info``, for each kind of site;
    sites that are missing there are full.

    Returns
    -------
    numbers : ndarray of shape (n_elements,)
        Atomic numbers of all elements, in ascending order.
    shares : ndarray of shape (n_sites, n_elements)
        Fraction of each element on each site; a row may sum to less than 1.
    """
    from ase.data import atomic_numbers

    occupancy = structure.info.get("occupancy") or {}
    kinds = structure.arrays.get("spacegroup_kinds", np.arange(len(structure)))
    per_site = [
        {atomic_numbers[element]: float(share) for element, share in filled.items()}
        if (filled := occupancy.get(str(kind)))
        else {int(number): 1.0}
        for kind, number in zip(kinds, structure.numbers, strict=True)
    ]
    numbers = sorted(set().union(*per_site))
    shares = np.array([[site.get(number, 0.0) for number in numbers] for site in per_site])
    return np.array(numbers), shares
