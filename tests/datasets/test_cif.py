import io

import numpy as np
import pytest
from ase.io import write
from hypothesis import given
from hypothesis import strategies as st

from stemkit.datasets import make_crystal_images
from stemkit.datasets._cif import read_cif
from stemkit.datasets._structures import named_structure, site_shares

GOOD = """\
# gallium and aluminium share a site, and an oxygen is missing at times
data_test
_cell_length_a 4.0
_cell_length_b 4.0(2)
_cell_length_c 5.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90

_symmetry_space_group_name_H-M 'P 1'
_journal_note
;
 data_ and loop_ within a text mean nothing
;
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Ga1 Ga 0 0 0 0.7
Al1 Al 0 0 0 0.3
O1  O 0.5 0.5(1) 0.5 0.9
"""


@pytest.fixture
def cif(tmp_path):
    def save(text):
        path = tmp_path / "crystal.cif"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return save


def test_shared_and_partly_empty_sites_are_read(cif):
    atoms = read_cif(cif(GOOD))
    assert len(atoms) == 2
    assert atoms.cell.lengths().tolist() == [4, 4, 5]
    numbers, shares = site_shares(atoms)
    assert numbers.tolist() == [8, 13, 31]
    assert shares.tolist() == [[0, 0.3, 0.7], [0.9, 0, 0]]


def test_occupancies_become_random_atoms(cif):
    images = make_crystal_images(cif(GOOD), shape=(400, 400), thickness=2, random_state=0)
    table = images.positions
    assert images.species == ["Ga/Al", "O"]
    oxygen = table[table.species == "O"].n_atoms
    # Four repeats, each filled with a probability of 0.9.
    assert oxygen.mean() == pytest.approx(3.6, abs=5 * np.sqrt(4 * 0.09 / len(oxygen)))
    # A column has 0 to 4 aluminium atoms: five amplitudes.
    metal = table[table.species == "Ga/Al"].amplitude.to_numpy()
    steps = np.unique(metal.round(1))
    assert len(steps) == 5
    assert np.diff(steps) == pytest.approx(np.full(4, np.diff(steps)[0]), rel=0.01)


@pytest.mark.parametrize("name", ["Si", "GaN", "ZrO2", "BaTiO3", "LLZO", "ZnMgTe"])
def test_what_ase_writes_is_read_back(cif, name):
    structure = named_structure(name)
    buffer = io.BytesIO()
    write(buffer, structure, format="cif")
    again = read_cif(cif(buffer.getvalue()))
    assert len(again) == len(structure)
    assert again.get_volume() == pytest.approx(structure.get_volume(), rel=1e-4)
    for one, other in zip(site_shares(structure), site_shares(again), strict=True):
        np.testing.assert_allclose(one.sum(axis=0), other.sum(axis=0), atol=1e-3)


def test_symmetry_is_applied(cif):
    text = GOOD.replace("'P 1'", "'F m -3 m'").replace("5.0\n", "4.0\n", 1)
    text = text.replace("O1  O 0.5 0.5(1) 0.5 0.9\n", "")
    assert len(read_cif(cif(text))) == 4


def line_of(text, part):
    return next(i for i, line in enumerate(text.split("\n"), 1) if part in line)


LONG_ROW = GOOD.replace("Al1 Al 0 0 0 0.3", "Al1 Al 0 0 0 0.3 7")
OPEN_QUOTE = GOOD.replace("Al1 Al", "Al1 'Al")
STRAY = GOOD.replace("loop_\n_atom", "what is this\nloop_\n_atom", 1)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "line 1: the file is empty"),
        ("\n  \n", "line 1: the file is empty"),
        ("PNG" + GOOD, "line 1: this is not a CIF"),
        ("\x89PNG\r\n", "line 1: this is not a CIF; a block that begins with data_ is expected"),
        (GOOD.replace("data_test\n", ""), "line 2: this is not a CIF; a block"),
        (LONG_ROW, f"line {line_of(LONG_ROW, 'Al1')}: .*[Ww]rong number"),
        (OPEN_QUOTE, f"line {line_of(OPEN_QUOTE, 'Al1')}: .*quotation"),
        (STRAY, f"line {line_of(STRAY, 'what')}: .*what is this"),
        (GOOD[:-4], "line 24: .*incomplete row"),
        (GOOD.replace("nothing\n;\n", "nothing\n"), "the file ends in the middle"),
        ("data_empty\n_cell_length_a 4\n", "field _atom_site_fract_x is missing"),
        (GOOD.replace("_cell_length_b 4.0(2)\n", ""), "field _cell_length_b: missing"),
        (GOOD.replace("4.0(2)", "?"), r"field _cell_length_b: '\?' is not a positive number"),
        (GOOD.replace("4.0(2)", "-4"), "field _cell_length_b: -4 is not a positive number"),
        (GOOD.replace("gamma 90", "gamma 200"), "field _cell_angle_alpha: the three angles"),
        (GOOD.replace("_atom_site_fract_y", "_atom_site_y"), "field _atom_site_fract_y: missing"),
        (
            GOOD.replace("O 0.5", "Xx 0.5"),
            "_type_symbol: 'Xx' of O1 is not an element",
        ),
        (GOOD.replace("O 0.5", "? 0.5"), "field _atom_site_type_symbol"),
        (GOOD.replace("0.5(1)", "."), r"field _atom_site_fract_y: '\.' of O1 is not a number"),
        (GOOD.replace("0.5 0.9", "0.5 1.9"), "field _atom_site_occupancy: 1.9 of O1"),
        (GOOD.replace("0.5 0.9", "0.5 ?"), r"field _atom_site_occupancy: '\?' of O1"),
        (GOOD.replace("0 0.3", "0 0.6"), "field _atom_site_occupancy: .* is filled to 1.30"),
        (GOOD.replace("'P 1'", "'P 7 nonsense'"), "field _space_group_name_H-M_alt: the symmetry"),
        (GOOD.replace("O1  O 0.5 0.5(1) 0.5", "O1  O 0.05 0 0"), "lie 0.20 angstrom apart"),
        (
            GOOD.replace("_atom_site_occupancy", "_atom_site_disorder_group").replace(" 0.9", " 1"),
            "field _atom_site_disorder_group: .* only sites filled independently",
        ),
    ],
)
def test_errors_name_the_file_and_the_line_or_field(cif, text, words):
    path = cif(text)
    with pytest.raises(ValueError, match=words) as caught:
        make_crystal_images(path, shape=(64, 64), random_state=0)
    assert str(path) in str(caught.value)


@given(st.binary(max_size=300) | st.text(alphabet="data_loop ;'\n#.0Si", max_size=80))
def test_garbage_is_a_value_error(tmp_path_factory, garbage):
    path = tmp_path_factory.mktemp("cif") / "garbage.cif"
    path.write_bytes(garbage if isinstance(garbage, bytes) else garbage.encode())
    with pytest.raises(ValueError, match="garbage"):
        read_cif(path)


@given(st.integers(0, len(GOOD)), st.integers(0, len(GOOD)))
def test_a_file_with_a_gap_is_read_or_an_error_that_names_it(tmp_path_factory, start, stop):
    path = tmp_path_factory.mktemp("cif") / "hole.cif"
    path.write_text(GOOD[:start] + GOOD[max(start, stop) :])
    message = str(path)
    try:
        read_cif(path)
    except ValueError as error:
        message = str(error)
    assert message.startswith(str(path))


def test_no_atoms_in_view_names_the_file(cif):
    with pytest.raises(ValueError, match=r"crystal\.cif: no atoms are in view"):
        make_crystal_images(cif(GOOD), shape=(2, 2), pixel_size=0.005, random_state=1)
