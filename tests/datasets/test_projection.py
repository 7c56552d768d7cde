from math import gcd

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from stemkit.datasets._projection import HAADF_EXPONENT, cells_over, project
from stemkit.datasets._structures import MATERIALS, named_structure, site_shares

AXES = st.tuples(*[st.integers(-3, 3)] * 3).filter(any)
CRYSTALS = sorted(set(MATERIALS) - {"graphene", "LLZO"})


@settings(max_examples=60)
@given(st.sampled_from(CRYSTALS), AXES)
def test_a_projected_cell_holds_what_the_crystal_does(name, axis):
    structure = named_structure(name)
    projection = project(structure, axis)
    volume = -np.linalg.det(projection.basis) * projection.period
    assert volume == pytest.approx(structure.get_volume() / 1000)
    direction = np.array(axis) // gcd(*axis)
    assert projection.period == pytest.approx(np.linalg.norm(direction @ structure.cell) / 10)
    numbers, shares = site_shares(structure)
    scattering = (shares @ numbers.astype(float) ** HAADF_EXPONENT).sum()
    assert projection.column_weights(HAADF_EXPONENT).sum() == pytest.approx(scattering)
    # The shortest vector of the projection points to the right.
    assert projection.basis[0] == pytest.approx([0, np.linalg.norm(projection.basis[0])])
    multiples = np.indices((7, 7)).reshape(2, -1).T - 3
    lengths = np.linalg.norm(multiples @ projection.basis, axis=1)
    assert np.sort(lengths)[1] >= projection.basis[0, 1] - 1e-9


@settings(max_examples=40)
@given(st.sampled_from(CRYSTALS), AXES)
def test_columns_stand_where_atoms_of_a_large_block_project(name, axis):
    structure = named_structure(name)
    projection = project(structure, axis)
    # Independent reference: ase rotates a block of cells so that the axis points along z.
    block = structure.repeat(5)
    block.positions -= 2 * structure.cell.sum(axis=0)
    block.rotate(np.array(axis) @ structure.cell.array, "z")
    block.set_cell(None)
    flat = block.positions[:, :2] / 10
    # The rotation about the axis is not determined: try each one that turns a shortest vector of
    # the projected lattice to the right.
    lattice = (np.indices((5, 5, 5)).reshape(3, -1).T - 2) @ structure.cell.array
    vectors = Atoms("H" * len(lattice), lattice)
    vectors.rotate(np.array(axis) @ structure.cell.array, "z")
    vectors = vectors.positions[:, :2] / 10
    shortest = vectors[
        np.isclose(np.linalg.norm(vectors, axis=1), projection.basis[0, 1], atol=1e-6)
    ]
    found = False
    for x, y in shortest:
        turn = np.arctan2(y, x)
        cos, sin = np.cos(turn), np.sin(turn)
        right, up = flat @ [cos, sin], flat @ [-sin, cos]
        share = np.stack([-up, right], axis=1) @ np.linalg.inv(projection.basis)
        columns = projection.column_points() @ np.linalg.inv(projection.basis)
        apart = share[:, None] - columns
        distance = np.linalg.norm((apart - np.rint(apart)) @ projection.basis, axis=-1)
        found |= bool((distance.min(axis=1) < 1e-3).all())
    assert found


@pytest.mark.parametrize("axis", [(1, 1, 1), (1, 0, 0), (1, 1, 0), (2, -1, 0), (2, 2, 2)])
def test_garnet_scatters_alike_in_every_direction(axis):
    atoms = named_structure("LLZO")
    projection = project(atoms, axis)
    density = projection.column_weights(1.7).sum() / abs(np.linalg.det(projection.basis))
    numbers, shares = site_shares(atoms)
    expected = (shares @ numbers**1.7).sum() / 1.297**3
    assert density / projection.period == pytest.approx(expected)


def test_depths_follow_the_crystal():
    # Down [110] of silicon both atoms of a dumbbell repeat every 3.84 angstrom, but a layer apart.
    projection = project(named_structure("Si"), (1, 1, 0))
    assert projection.period == pytest.approx(0.543102 * np.sqrt(2))
    for column in range(projection.n_columns):
        depth = np.sort(projection.depth[projection.column == column] % projection.period)
        assert np.diff(depth) == pytest.approx(projection.period / 2)


def test_the_view_is_from_the_side_that_the_axis_points_to():
    # A rotation that is counter-clockwise from the front is clockwise from behind.
    structure = named_structure("SrTiO3")
    structure = structure[:1] + structure[:2] + structure[:1]
    structure.info.clear()
    structure.set_scaled_positions([[0, 0, 0], [0.3, 0, 0], [0.3, 0, 0], [0.3, 0.2, 0]])
    structure.numbers = [38, 22, 22, 8]
    front, back = (project(structure, (0, 0, w)) for w in (1, -1))

    def turn(projection):
        places = {n: projection.points[structure.numbers == n][0] for n in (38, 22, 8)}
        (y1, x1), (y2, x2) = places[22] - places[38], places[8] - places[22]
        wrap = projection.basis[0, 1]
        y1, x1, y2, x2 = ((v + wrap / 2) % wrap - wrap / 2 for v in (y1, x1, y2, x2))
        return np.sign(x1 * -y2 - -y1 * x2)

    assert turn(front) == 1
    assert turn(back) == -1


@given(
    st.tuples(*[st.floats(-3, 3)] * 4),
    st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    st.tuples(st.floats(0, 15), st.floats(0, 15)),
)
def test_cells_cover_a_rectangle(values, low, size):
    basis = np.array(values).reshape(2, 2) + np.diag([5.0, 5.0])
    high = np.add(low, size)
    cells = cells_over(basis, low, high)
    inside = low + np.random.default_rng(0).random((50, 2)) * size
    needed = np.floor(inside @ np.linalg.inv(basis))
    assert set(map(tuple, needed)) <= set(map(tuple, cells))


def test_invalid_zone_axes_are_an_error():
    for bad in ((0, 0, 0), (1, 1), (1.5, 0, 0)):
        with pytest.raises(ValueError, match="zone_axis must be three whole numbers"):
            project(named_structure("Si"), bad)
    with pytest.raises(ValueError, match="for a sheet"):
        project(named_structure("graphene"), (1, 0, 0))
