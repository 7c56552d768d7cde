"""Read crystallographic information files with ase, with errors that name the line or field.

`ase.io.read` returns the atoms alone, so errors could name neither. Its parser is called block by
block instead, and the fields are checked before the symmetry is applied.
"""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms
    from ase.io.cif import CIFBlock

Fields: TypeAlias = dict[str, Any]

_CELL = [
    *(f"_cell_length_{side}" for side in "abc"),
    *(f"_cell_angle_{angle}" for angle in ("alpha", "beta", "gamma")),
]
# Sites closer than this, in angstrom, can't both be filled, whatever the bond.
_MIN_DISTANCE = 0.5


def read_cif(path: str | PathLike[str]) -> Atoms:
    """Read the first crystal of a CIF file.

    Sites that elements share, or that are partly empty, are stored as ``site_shares`` reads them.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    ase.Atoms
        The conventional unit cell, all symmetry applied.

    Raises
    ------
    ValueError
        If the file can't be read, or describes a disorder in which sites depend on each other. The
        message names the file, and the line or the field.
    """
    path = Path(path)
    blocks = _parse(path)
    for block in blocks:
        if "_atom_site_fract_x" in block or "_atom_site_cartn_x" in block:
            break
    else:
        raise ValueError(
            f"{path}: no atoms, since the field _atom_site_fract_x is missing; export the file "
            f"with its atom sites."
        )
    _check_cell(path, dict(block))
    _check_sites(path, dict(block))
    try:
        with warnings.catch_warnings():
            # Wrong settings and duplicate sites, of which ase warns, are found below by distances.
            warnings.simplefilter("ignore")
            atoms = block.get_atoms()
    except Exception as error:
        named = "_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz"
        field = next((name for name in named if name in block), "_space_group_name_H-M_alt")
        raise ValueError(
            f"{path}, field {field}: the symmetry can't be applied ({error}); correct it, or "
            f"export the whole cell as P 1."
        ) from error
    _check_distances(path, atoms)
    return atoms


def _parse(path: Path) -> list[CIFBlock]:
    from ase.io.cif import parse_block

    text = path.read_bytes().decode("latin-1")  # never fails, and CIF is ASCII
    numbered = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not numbered:
        raise ValueError(f"{path}, line 1: the file is empty; export the crystal again.")
    # ase removes lines from the end of this list: the number that is left gives the line in error.
    lines = [line for _, line in reversed(numbered)]
    blocks = []
    while lines:
        line = lines.pop().strip()
        if line.startswith("#"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                blocks.append(parse_block(lines, line))
        except Exception as error:
            reasons = {
                AssertionError: "a block that begins with data_ is expected",
                IndexError: "the file ends in the middle of a value or a text",
            }
            number = numbered[len(numbered) - len(lines) - 1][0]
            raise ValueError(
                f"{path}, line {number}: this is not a CIF; {reasons.get(type(error), error)}."
            ) from error
    return blocks


def _fail(path: Path, field: str, problem: str, advice: str) -> NoReturn:
    raise ValueError(f"{path}, field {field}: {problem}; {advice}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _check_cell(path: Path, fields: Fields) -> None:
    for field in _CELL:
        value = fields.get(field)
        if value is None or not _is_number(value) or not value > 0:
            problem = "missing" if value is None else f"{value!r} is not a positive number"
            _fail(path, field, problem, "give the cell in angstrom and degrees")
    # For three angles that can't meet at a corner ase returns a complex cell.
    angles = np.deg2rad([float(fields[field]) for field in _CELL[3:]])
    cosines = np.cos(angles)
    closes = 1 + 2 * cosines.prod() - (cosines**2).sum() > 1e-6
    if not closes or angles.max() >= np.pi:
        _fail(path, _CELL[3], "the three angles can't form a cell", "correct them")


def _check_sites(path: Path, fields: Fields) -> None:
    from ase.data import atomic_numbers

    kind = "fract" if "_atom_site_fract_x" in fields else "cartn"
    element = next(
        (f for f in ("_atom_site_type_symbol", "_atom_site_label") if f in fields),
        "_atom_site_type_symbol",
    )
    coordinates = [f"_atom_site_{kind}_{axis}" for axis in "xyz"]
    for field in (element, *coordinates):
        if field not in fields:
            _fail(path, field, "missing", "every atom needs an element and three coordinates")
        if not isinstance(fields[field], list):
            _fail(path, field, "it is a single value", "list the atoms in a loop_")
    labels = fields.get("_atom_site_label") or fields[element]
    for label, symbol in zip(labels, fields[element], strict=True):
        letters = "".join(c if c.isalpha() else " " for c in str(symbol)).split()
        # Labels such as OW1 are oxygen: ase reads the first capital and the small letters after it.
        known = letters and any(letters[0][:n] in {*atomic_numbers, "D"} for n in (1, 2))
        if not known or letters[0].startswith("X"):
            _fail(path, element, f"{symbol!r} of {label} is not an element", "write its symbol")
    for field in coordinates:
        for label, value in zip(labels, fields[field], strict=True):
            if not _is_number(value):
                _fail(path, field, f"{value!r} of {label} is not a number", "give the coordinate")
    _check_occupancy(path, fields, labels)


def _check_occupancy(path: Path, fields: Fields, labels: list[str]) -> None:
    field = "_atom_site_occupancy"
    for label, value in zip(labels, fields.get(field, []), strict=False):
        if not _is_number(value) or not 0 <= value <= 1:
            _fail(path, field, f"{value!r} of {label} is not a number from 0 to 1", "correct it")
    field = "_atom_site_disorder_group"
    for label, value in zip(labels, fields.get(field, []), strict=False):
        if str(value) not in {".", "?"}:
            _fail(
                path,
                field,
                f"{label} belongs to sites that are filled together, and only sites filled "
                f"independently are supported",
                "keep one group and delete the others",
            )


def _check_distances(path: Path, atoms: Atoms) -> None:
    from ase.neighborlist import neighbor_list

    from ._structures import site_shares, without_ase_deprecations

    _, shares = site_shares(atoms)
    if (total := shares.sum(axis=1)).max() > 1.01:
        where = atoms.get_scaled_positions()[total.argmax()].round(4).tolist()
        _fail(
            path,
            "_atom_site_occupancy",
            f"the site at {where} is filled to {total.max():.2f}",
            "let the elements on a site sum to 1 or less",
        )
    with without_ase_deprecations():
        first, second, distance = neighbor_list("ijd", atoms, _MIN_DISTANCE)
    if len(distance):
        symbols = f"{atoms.symbols[first[0]]} and {atoms.symbols[second[0]]}"
        _fail(
            path,
            "_atom_site_fract_x",
            f"{symbols} lie {distance[0]:.2f} angstrom apart",
            "delete one of the sites, or correct the cell, the coordinates or the space group",
        )
