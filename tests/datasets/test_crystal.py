import io

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree

from stemkit.datasets import make_crystal_images
from stemkit.datasets._structures import MATERIALS, named_structure

SMALL = {"shape": (96, 112), "random_state": 0}
ATOMS_OF_NOTHING = Atoms("X", cell=[5, 5, 5])


def closed_form(table, shape):
    y, x = np.indices(shape)
    total = np.zeros(shape)
    for row in table.itertuples():
        square = (y - row.y) ** 2 + (x - row.x) ** 2
        total += row.amplitude * np.exp(-square / (2 * row.sigma**2))
    return total


def neighbours(table):
    """Return the distance from each column to the nearest of its kind, in px."""
    points = table[["y", "x"]].to_numpy()
    return KDTree(points).query(points, k=2)[0][:, 1]


@pytest.mark.parametrize("material", MATERIALS)
def test_frame_is_the_sum_of_its_columns(material):
    images = make_crystal_images(material, 2, **SMALL)
    assert images.frames.dtype == np.float32
    assert images.pixel_size == 0.02
    inner = np.s_[12:-12, 12:-12]
    for index, frame in enumerate(images.frames):
        assert frame.max() == pytest.approx(255)
        table = images.positions[images.positions.frame == index]
        np.testing.assert_allclose(frame[inner], closed_form(table, frame.shape)[inner], atol=1)
    assert set(images.positions.species) == set(images.species)
    # Each frame shows another part of the crystal.
    assert abs(images.frames[0] - images.frames[1]).max() > 20


@pytest.mark.parametrize(
    "material, zone_axis, angstrom",
    [
        ("Al", (0, 0, 1), 4.0496 / 2),
        ("Al", (1, 1, 1), 4.0496 / np.sqrt(6)),
        ("Si", (0, 0, 1), 5.43102 / np.sqrt(8)),
        ("Si", (1, 1, 0), 5.43102 / 4),
        ("graphene", (0, 0, 1), 2.46 / np.sqrt(3)),
        ("GaN", (0, 0, 1), 3.189 / np.sqrt(3)),
        ("BaTiO3", (1, 0, 0), None),
    ],
)
def test_spacing_of_columns(material, zone_axis, angstrom):
    for pixel_size in (0.01, 0.023):
        images = make_crystal_images(
            material, zone_axis=zone_axis, pixel_size=pixel_size, shape=(160, 160), random_state=1
        )
        table = images.positions
        if material == "BaTiO3":
            table, angstrom = table[table.species == "Ba"], 3.99095
        middle = table.y.between(60, 100) & table.x.between(60, 100)
        spacing = neighbours(table)[middle]
        assert spacing == pytest.approx(np.full(middle.sum(), angstrom / 10 / pixel_size))


@pytest.mark.parametrize("exponent", [1.0, 1.7, 2.0])
def test_columns_are_as_bright_as_their_atoms(exponent):
    images = make_crystal_images("SrTiO3", exponent=exponent, **SMALL)
    mean = images.positions.groupby("species").amplitude.agg(["min", "max"])
    assert (mean["max"] / mean["min"]).to_numpy() == pytest.approx(np.ones(3))
    weight = {"Sr": 38**exponent, "Ti+O": 22**exponent + 8**exponent, "O": 8**exponent}
    for species, expected in weight.items():
        ratio = mean["max"][species] / mean["max"]["Sr"]
        assert ratio == pytest.approx(expected / weight["Sr"])


@settings(max_examples=30)
@given(
    st.sampled_from(["Si", "GaN", "ZrO2", "BaTiO3"]),
    st.sampled_from([(0, 0, 1), (1, 1, 0), (1, 1, 1), (2, 1, 0)]),
    st.floats(0, 360),
)
def test_density_of_atoms_is_that_of_the_crystal(material, zone_axis, rotation):
    images = make_crystal_images(
        material, zone_axis=zone_axis, rotation=rotation, shape=(300, 300), random_state=0
    )
    structure = named_structure(material)
    period = np.linalg.norm(zone_axis @ structure.cell) / 10
    thickness = round(10 / period) * period
    volume = (300 * 0.02) ** 2 * thickness
    expected = len(structure) / (structure.get_volume() / 1000) * volume
    # Unit cells are cut at the border of the frame.
    assert images.positions.n_atoms.sum() == pytest.approx(expected, rel=0.08)


def test_rotation_turns_the_lattice_counter_clockwise():
    for rotation in (0.0, 17.0, 63.0):
        images = make_crystal_images("BaTiO3", rotation=rotation, **SMALL)
        barium = images.positions.query("species == 'Ba'")[["y", "x"]].to_numpy()
        nearest = barium[np.hypot(*(barium - [48, 56]).T).argmin()]
        away = barium - nearest
        away = away[np.isclose(np.hypot(*away.T), 3.99095 / 0.2, atol=1e-6)]
        # Counter-clockwise with y pointing down.
        angles = np.rad2deg(np.arctan2(-away[:, 0], away[:, 1]))
        assert (angles - rotation + 45) % 90 - 45 == pytest.approx(np.zeros(4), abs=1e-6)


def test_rotation_none_draws_one_for_each_frame():
    images = make_crystal_images("Al", 3, rotation=None, **SMALL)
    flat = images.frames.reshape(3, -1)
    spectra = np.abs(np.fft.fft2(images.frames)).reshape(3, -1)[:, 1:]
    assert not np.allclose(flat[0], flat[1])
    assert np.corrcoef(spectra)[np.triu_indices(3, 1)].max() < 0.9


def test_strain_elongates_the_lattice():
    plain, strained = (
        make_crystal_images("Al", strain=strain, shape=(200, 200), random_state=2).positions
        for strain in ((0, 0, 0), (0.05, -0.02, 0.03))
    )

    def cell(table):
        points = table[["y", "x"]].to_numpy()
        middle = points[np.hypot(*(points - 100).T).argmin()]
        near = points[np.argsort(np.hypot(*(points - middle).T))[1:5]] - middle
        # The vectors closest to downwards and to the right.
        return np.stack([near[np.argmax(near[:, 0])], near[np.argmax(near[:, 1])]])

    matrix = np.linalg.solve(cell(plain), cell(strained)).T
    assert matrix == pytest.approx(np.array([[1.05, 0.03], [0.03, 0.98]]))


def test_tilt_smears_columns_along_it():
    tilt, thickness = 20.0, 10.0
    options = {"shape": (41, 41), "pixel_size": 0.01, "probe_sigma": 0.3, "thickness": thickness}
    for leaning, other in ((0, 1), (1, 0)):
        pair = [0.0, 0.0]
        pair[leaning] = tilt
        images = make_crystal_images("BaTiO3", tilt=tuple(pair), random_state=0, **options)
        barium = images.positions.query("species == 'Ba'").iloc[0]
        straight = make_crystal_images("BaTiO3", random_state=0, **options)
        upright = straight.positions.query("species == 'Ba'").iloc[0]
        # A tilt about its middle moves a column only by a fraction of a layer.
        assert barium[["y", "x"]].tolist() == pytest.approx(upright[["y", "x"]].tolist(), abs=0.9)
        frame = images.frames[0].astype(float)
        row = frame.sum(axis=other) - np.median(frame.sum(axis=other))
        assert row.max() < 0.75 * straight.frames[0].sum(axis=other).max()


def test_a_tilted_column_has_the_variance_of_its_tilt():
    atoms = Atoms("Pt", cell=[30, 30, 4], scaled_positions=[[0.5, 0.5, 0.5]], pbc=True)
    images = make_crystal_images(
        atoms, pixel_size=0.05, shape=(120, 120), tilt=(0, 100), thickness=8, random_state=3
    )
    place = images.positions.loc[
        np.hypot(images.positions.y - 60, images.positions.x - 60).idxmin()
    ]
    frame = images.frames[0].astype(float)
    y, x = np.indices(frame.shape)
    # Other columns are 60 px away.
    frame *= np.hypot(y - place.y, x - place.x) < 25
    variances = [
        (frame * (along - centre) ** 2).sum() / frame.sum()
        for along, centre in ((y, place.y), (x, place.x))
    ]
    assert place.n_atoms == 20
    lean = np.tan(0.1) * 8 / 0.05
    sigma = 0.04 / 0.05
    # The probe is cut at 4 standard deviations, and 20 layers are not quite a uniform spread.
    assert variances == pytest.approx([sigma**2, sigma**2 + lean**2 / 12 * (1 - 1 / 400)], rel=0.01)
    # The upper half moves right as far as the lower half moves left: the mean stays.
    assert (frame * x).sum() / frame.sum() == pytest.approx(place.x, abs=0.01)


def test_vacancies_are_missing_at_random():
    full, part = (
        make_crystal_images("Si", vacancies=v, shape=(512, 512), random_state=0).positions
        for v in (0.0, 0.2)
    )
    n = int(full.n_atoms.iloc[0])
    assert (full.n_atoms == n).all()
    assert len(part) == len(full)
    # Binomial: mean and variance, at five standard errors.
    k = len(part)
    assert part.n_atoms.mean() == pytest.approx(0.8 * n, abs=5 * np.sqrt(0.16 * n / k))
    assert part.n_atoms.var() == pytest.approx(0.16 * n, rel=5 * np.sqrt(2 / k))


def test_alloys_are_random_and_vary_less_if_they_are_thick():
    deviation = []
    for thickness in (2.0, 32.0):
        table = make_crystal_images(
            "AlGaN", thickness=thickness, shape=(512, 512), random_state=1
        ).positions
        assert set(table.species) == {"Al/Ga+N"}
        n = int(table.n_atoms.iloc[0]) // 2
        gallium, aluminium, nitrogen = (z**1.7 for z in (31, 13, 7))
        mean = (gallium + aluminium) / 2 + nitrogen
        relative = (gallium - aluminium) / 2 / np.sqrt(n) / mean
        found = table.amplitude.std() / table.amplitude.mean()
        assert found == pytest.approx(relative, rel=5 / np.sqrt(2 * len(table)))
        deviation.append(found)
    assert deviation[0] == pytest.approx(4 * deviation[1], rel=0.2)


@settings(max_examples=25)
@given(st.floats(0.05, 0.9), st.integers(0, 1000))
def test_vacuum_is_a_fraction_of_the_frame_behind_a_straight_edge(vacuum, seed):
    images = make_crystal_images("Al", vacuum=vacuum, shape=(200, 160), random_state=seed)
    full = make_crystal_images("Al", shape=(200, 160), random_state=seed)
    assert len(images.positions) / len(full.positions) == pytest.approx(1 - vacuum, abs=0.06)
    dark = images.frames[0] < 1
    assert dark.mean() > 0.6 * vacuum - 0.1
    # A straight line separates the remaining columns from the missing ones.
    kept = images.positions[["y", "x"]].to_numpy()
    every = full.positions[["y", "x"]].to_numpy()
    gone = every[KDTree(kept).query(every)[0] > 1]
    if len(gone):
        joined = np.vstack([kept, gone])
        side = np.r_[np.ones(len(kept)), -np.ones(len(gone))]
        assert separable(joined, side)


def separable(points, side):
    from scipy.optimize import linprog

    rows = -side[:, None] * np.column_stack([points, np.ones(len(points))])
    return linprog(np.zeros(3), A_ub=rows, b_ub=-np.ones(len(points)), bounds=(None, None)).success


def test_the_background_varies_slowly_around_its_level():
    plain = make_crystal_images("Al", 20, **SMALL)
    images = make_crystal_images("Al", 20, background=0.4, **SMALL)
    for clean, frame in zip(plain.frames, images.frames, strict=True):
        # The lattice is the same, scaled so that the brightest pixel of the sum is 255.
        ratio = np.polyfit(
            np.gradient(clean, axis=1).ravel(), np.gradient(frame, axis=1).ravel(), 1
        )
        film = frame / ratio[0] - clean
        assert film.min() > 0.2 * 255 - 1
        assert film.max() < 0.6 * 255 + 1
        assert np.abs(np.diff(film, axis=0)).max() < 255 * 0.4 / 2 * 2 * np.pi / 112 + 0.5
        assert frame.max() == pytest.approx(255)
    level = [f.min() / f.max() for f in images.frames]
    assert np.std(level) > 0.01


def test_amplitudes_follow_the_scale_of_the_frame():
    images = make_crystal_images("Al", background=0.5, peak=10.0, **SMALL)
    frame, table = images.frames[0], images.positions
    inner = np.s_[12:-12, 12:-12]
    film = frame[inner] - closed_form(table, frame.shape)[inner]
    assert np.abs(np.diff(film, axis=1)).max() < 0.1
    assert frame.max() == pytest.approx(10)


def test_frames_depend_only_on_the_seed_and_their_index():
    options = {"vacancies": 0.1, "vacuum": 0.3, "background": 0.2, "rotation": None, **SMALL}
    three, two = (make_crystal_images("AlGaN", n, **options) for n in (3, 2))
    np.testing.assert_array_equal(three.frames[:2], two.frames)
    pd.testing.assert_frame_equal(three.positions.query("frame < 2"), two.positions)
    other = make_crystal_images("AlGaN", **{**options, "random_state": 1})
    assert not np.array_equal(other.frames[0], two.frames[0])


def test_global_random_state_is_not_changed():
    before = np.random.get_state()[1].copy()
    make_crystal_images("AlGaN", vacuum=0.2, **SMALL)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_a_crystal_may_be_given_as_atoms_or_as_cif(tmp_path):
    structure = named_structure("ZrO2")
    buffer = io.BytesIO()
    write(buffer, structure, format="cif")
    path = tmp_path / "zirconia.cif"
    path.write_bytes(buffer.getvalue())
    named, given_atoms, from_file, from_name = (
        make_crystal_images(material, zone_axis=(1, 0, 0), **SMALL)
        for material in ("ZrO2", structure, path, str(path))
    )
    np.testing.assert_array_equal(named.frames, given_atoms.frames)
    np.testing.assert_array_equal(from_file.frames, from_name.frames)
    assert len(from_file.structure) == 12
    # The file lists the same atoms with fewer digits and in another order.
    columns = [
        set(map(tuple, b.positions[["y", "x"]].round(1).to_numpy())) for b in (named, from_file)
    ]
    assert len(columns[0]) == len(columns[1])
    given_atoms.structure.positions += 1
    assert not np.allclose(structure.positions, given_atoms.structure.positions)


@pytest.mark.parametrize(
    "bad, words",
    [
        ({"n_images": 0}, "^n_images must be an int of at least 1"),
        ({"pixel_size": 0}, "^pixel_size must be a finite number of nm"),
        ({"probe_sigma": -1.0}, "^probe_sigma must be a finite number of angstrom"),
        ({"thickness": np.nan}, "^thickness must be a finite number of nm"),
        ({"exponent": 0}, "^exponent must be"),
        ({"peak": np.inf}, "^peak must be"),
        ({"rotation": np.nan}, "^rotation must be a finite number of degrees or None"),
        ({"vacancies": 1.0}, r"^vacancies must be a finite number in \[0, 1\)"),
        ({"vacuum": -0.1}, r"^vacuum must be a finite number in \[0, 1\)"),
        ({"background": -1}, "^background must be"),
        ({"tilt": (300, 0)}, r"^tilt must be 2 items, each a finite number of mrad in \[-200"),
        ({"tilt": 5}, "^tilt must be 2 items"),
        ({"strain": (0.1, 0.1)}, "^strain must be 3 items"),
        ({"zone_axis": (1, 1)}, "^zone_axis must be 3 items"),
        ({"zone_axis": (1, 1, 0.5)}, "^zone_axis must be 3 items"),
        ({"zone_axis": (0, 0, 0)}, "zone_axis must be three whole numbers"),
        ({"shape": (64,)}, r"^shape must be \(H, W\)"),
        ({"shape": (0, 64)}, r"^shape must be \(H, W\)"),
        ({"material": 5}, "^material must be a path or an object with .* such as an ase.Atoms"),
        ({"material": ATOMS_OF_NOTHING}, "^material has positions .* atoms without an element"),
        ({"material": Atoms("Si", cell=[0.1, 1, 1])}, "^material has a lattice vector of 0.1 ang"),
        ({"material": Atoms("Si", [(np.nan, 0, 0)], cell=[5, 5, 5])}, "^material has positions"),
        ({"probe_sigma": 0.001, "pixel_size": 1, "shape": (2, 2)}, "^probe_sigma is so small"),
        ({"simulator": "muSTEM"}, "simulator must be one of"),
        ({"material": "Unobtainium"}, "neither a CIF file that exists nor one of Al, AlGaN"),
        ({"material": Atoms("Si")}, "material has 1 atoms and a cell of rank 0"),
        ({"shape": (2, 2), "pixel_size": 0.005, "random_state": 3}, "Si: no atoms are in view"),
    ],
)
def test_invalid_arguments_are_named(bad, words):
    with pytest.raises(ValueError, match=words):
        make_crystal_images(**{"material": "Si", **SMALL, **bad})


def test_without_abtem_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "abtem", None)
    with pytest.raises(ImportError, match="stemkit\\[abtem\\]"):
        make_crystal_images("Al", shape=(16, 16), simulator="abtem", random_state=0)


def test_abtem_columns_are_at_the_positions_of_the_gaussians():
    pytest.importorskip("abtem", reason="needs the extra stemkit[abtem]")
    options = {"shape": (12, 16), "pixel_size": 0.06, "thickness": 1.0, "random_state": 0}
    gaussian, physical = (
        make_crystal_images("SrTiO3", simulator=s, **options) for s in ("gaussian", "abtem")
    )
    assert physical.frames.shape == gaussian.frames.shape
    assert physical.frames.max() == pytest.approx(255)
    assert physical.positions.amplitude.isna().all()
    same = ["frame", "species", "n_atoms"]
    pd.testing.assert_frame_equal(physical.positions[same], gaussian.positions[same])
    assert np.corrcoef(gaussian.frames.ravel(), physical.frames.ravel())[0, 1] > 0.9
