import warnings

import numpy as np
import pytest
from ase.data import atomic_masses, atomic_numbers

from stemkit.datasets._structures import (
    MATERIALS,
    named_structure,
    site_shares,
    without_ase_deprecations,
)

# Densities from handbooks, in g per cubic centimetre; alloys are the mean of their ends (AlN 3.26
# and GaN 6.15; ZnTe 5.63 and zinc blende MgTe 3.85).
DENSITIES = {
    "Al": 2.70,
    "AlGaN": 4.70,
    "BaTiO3": 6.02,
    "GaN": 6.15,
    "InN": 6.81,
    "LLZO": 5.1,
    "NaCN": 1.596,
    "Si": 2.329,
    "SrTiO3": 5.12,
    "ZnMgTe": 4.74,
    "ZrO2": 5.83,
}
# Atoms of one formula unit, and the shortest distance of two elements in angstrom.
FORMULAS = {
    "Al": ({"Al": 1}, ("Al", "Al", 2.863)),
    "AlGaN": ({"Al": 0.5, "Ga": 0.5, "N": 1}, None),
    "BaTiO3": ({"Ba": 1, "Ti": 1, "O": 3}, ("Ti", "O", 1.83)),
    "GaN": ({"Ga": 1, "N": 1}, ("Ga", "N", 1.95)),
    "InN": ({"In": 1, "N": 1}, ("In", "N", 2.15)),
    "LLZO": ({"Li": 7, "La": 3, "Zr": 2, "O": 12}, ("Zr", "O", 2.10)),
    "NaCN": ({"Na": 1, "C": 1, "N": 1}, None),
    "Si": ({"Si": 1}, ("Si", "Si", 2.352)),
    "SrTiO3": ({"Sr": 1, "Ti": 1, "O": 3}, ("Ti", "O", 1.953)),
    "ZnMgTe": ({"Zn": 0.5, "Mg": 0.5, "Te": 1}, None),
    "ZrO2": ({"Zr": 1, "O": 2}, ("Zr", "O", 2.05)),
    "graphene": ({"C": 1}, ("C", "C", 1.42)),
}


def contents(name):
    """Return the number of atoms of each element in the cell."""
    numbers, shares = site_shares(named_structure(name))
    return dict(zip(numbers.tolist(), shares.sum(axis=0), strict=True))


def test_every_material_agrees_with_the_literature():
    assert set(FORMULAS) == set(MATERIALS) == {*DENSITIES, "graphene"}
    assert all(material.source for material in MATERIALS.values())


@pytest.mark.parametrize("name", DENSITIES)
def test_density(name):
    mass = sum(atomic_masses[number] * n for number, n in contents(name).items())
    density = 1.66054 * mass / named_structure(name).get_volume()
    assert density == pytest.approx(DENSITIES[name], rel=0.02)


def test_graphene_has_38_atoms_on_a_square_nanometre():
    cell = named_structure("graphene").cell
    assert 2 / (np.linalg.norm(np.cross(cell[0], cell[1])) / 100) == pytest.approx(38.2, rel=0.01)


@pytest.mark.parametrize("name", FORMULAS)
def test_composition_and_bonds(name):
    formula, bond = FORMULAS[name]
    found = contents(name)
    units = found[atomic_numbers[next(iter(formula))]] / next(iter(formula.values()))
    assert {n: a / units for n, a in found.items()} == pytest.approx(
        {atomic_numbers[e]: n for e, n in formula.items()}, rel=0.01
    )
    if bond is not None:
        one, other, length = bond
        atoms = named_structure(name)
        first = atoms.get_chemical_symbols().index(one)
        distances = atoms.repeat(2).get_distances(first, range(8 * len(atoms)), mic=True)
        near = distances[(atoms.repeat(2).numbers == atomic_numbers[other]) & (distances > 0)]
        assert near.min() == pytest.approx(length, abs=0.03)


def test_coordination_of_the_oxides():
    for name, centre, n in (("ZrO2", "Zr", 7), ("LLZO", "Zr", 6), ("SrTiO3", "Ti", 6)):
        atoms = named_structure(name).repeat(2)
        distances = atoms.get_distances(
            atoms.get_chemical_symbols().index(centre), range(len(atoms)), mic=True
        )
        assert ((distances < 2.4) & (atoms.numbers == 8)).sum() == n


def test_a_structure_is_a_copy():
    named_structure("Si").positions += 1
    assert named_structure("Si").positions[0].tolist() == [0, 0, 0]


def test_only_the_deprecation_that_ase_causes_is_ignored():
    with without_ase_deprecations():
        warnings.warn(
            "Setting the shape on a NumPy array has been deprecated in NumPy 2.5.",
            DeprecationWarning,
            stacklevel=1,
        )
        with pytest.raises(DeprecationWarning):
            warnings.warn("another", DeprecationWarning, stacklevel=1)
