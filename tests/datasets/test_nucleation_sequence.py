import numpy as np
import pytest
from scipy.spatial import cKDTree

from stemkit.datasets import make_nucleation_sequence
from stemkit.exceptions import InvalidParameterError

SHAPE = (96, 96)


@pytest.fixture(scope="module")
def film():
    return make_nucleation_sequence(12, SHAPE, growth=(0.05, 0.6), random_state=0)


def tracks(film, name):
    return film.positions.pivot(index="frame", columns="atom", values=name).to_numpy()


def test_frames_and_tables_fit_together(film):
    for name in ("noisy", "clean", "target"):
        assert film[name].shape == (12, *SHAPE)
        assert film[name].dtype == np.float32
    assert list(film.positions.columns) == [
        *("frame", "atom", "y", "x", "amplitude", "sigma", "ordered")
    ]
    np.testing.assert_allclose(film.parameters.order, np.linspace(0.05, 0.6, 12), rtol=1e-6)
    for index, table in film.positions.groupby("frame"):
        row, column = table[["y", "x"]].to_numpy().round().astype(int).T
        row, column = row.clip(0, SHAPE[0] - 1), column.clip(0, SHAPE[1] - 1)
        # Each atom has a dot, at most half a pixel from its nearest pixel along both axes.
        assert film.target[index, row, column].min() > 255 * np.exp(-0.25 / 0.75**2) - 1


def test_no_two_atoms_are_ever_too_close(film):
    for _, table in film.positions.groupby("frame"):
        assert not cKDTree(table[["y", "x"]]).query_pairs(4 - 1e-4)


def test_atoms_keep_their_identity(film):
    for name in ("amplitude", "sigma"):
        values = tracks(film, name)
        assert np.nanmax(np.ptp(values, axis=0)[~np.isnan(values).any(axis=0)]) == 0
    steps = np.hypot(*(np.diff(tracks(film, name), axis=0) for name in ("y", "x")))
    # Few atoms are blocked for a whole frame; no atom moves as far as its nearest neighbour.
    assert (steps > 0).sum() > 0.95 * np.isfinite(steps).sum()
    assert np.nanmax(steps) < 4
    visible = ~np.isnan(tracks(film, "y"))
    assert visible.all(axis=0).mean() > 0.8


def test_the_grain_grows_and_is_a_lattice(film):
    grain = film.parameters.iloc[-1]
    assert film.parameters[["grain_y", "grain_x", "orientation", "spacing"]].nunique().max() == 1
    assert (np.diff(film.parameters.grain_radius) > 0).all()
    ordered = film.positions.groupby("frame").ordered.mean()
    assert ordered.iloc[-1] > ordered.iloc[0] + 0.3
    inner = []
    for index, table in film.positions.groupby("frame"):
        apart = np.hypot(table.y - grain.grain_y, table.x - grain.grain_x)
        radius = film.parameters.grain_radius[index]
        assert table.ordered[apart > radius + grain.spacing].sum() == 0
        inner.extend(table.ordered[apart < radius - 3 * grain.spacing])
    assert len(inner) > 300
    assert np.mean(inner) > 0.9
    last = film.positions[(film.positions.frame == 11) & film.positions.ordered]
    right, up = last.x - grain.grain_x, grain.grain_y - last.y
    cos, sin = np.cos(grain.orientation), np.sin(grain.orientation)
    second = (cos * up - sin * right) / grain.spacing / np.sqrt(0.75)
    first = (cos * right + sin * up) / grain.spacing - second / 2
    for axis in (first, second):
        assert abs(np.exp(2j * np.pi * axis).mean()) > 0.85


def test_nothing_moves_without_growth_and_diffusion():
    film = make_nucleation_sequence(3, SHAPE, growth=(0, 0), diffusion=0, random_state=0)
    np.testing.assert_array_equal(film.clean[0], film.clean[2])
    assert not film.positions.ordered.any()
    assert not (film.noisy[0] == film.noisy[2]).all()
    noise = (film.noisy - film.clean).reshape(3, -1)
    assert abs(np.corrcoef(noise)[0, 2]) < 0.05


def test_single_atoms_diffuse_by_the_given_distance():
    # With such small steps only atoms that almost touch block each other.
    film = make_nucleation_sequence(
        2, SHAPE, growth=(0, 0), diffusion=0.01, mask_threshold=0, random_state=0
    )
    steps = np.concatenate([np.diff(tracks(film, name), axis=0)[0] for name in ("y", "x")])
    steps = steps[np.isfinite(steps)]
    assert len(steps) > 600
    assert 0.9 * 0.01 < steps.std() < 1.02 * 0.01
    assert abs(steps.mean()) < 5 * 0.01 / np.sqrt(len(steps))


def test_disordered_atoms_stay_on_the_material():
    film = make_nucleation_sequence(10, SHAPE, growth=(0, 0), diffusion=1.0, random_state=3)
    n_atoms = film.positions.groupby("frame").size()
    assert np.ptp(n_atoms) <= 0.1 * n_atoms[0]
    first, last = (film.positions[film.positions.frame == frame] for frame in (0, 9))
    distance, _ = cKDTree(first[["y", "x"]]).query(last[["y", "x"]])
    # Atoms have moved further, but the material has not spread.
    assert distance.max() < 6


def test_the_same_seed_gives_the_same_film():
    one, two, other = (
        make_nucleation_sequence(2, (32, 32), random_state=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.noisy, two.noisy)
    assert not (one.noisy == other.noisy).all()


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"n_frames": 0}, "^n_frames must be an int of at least 1"),
        ({"growth": 0.3}, "^growth must be"),
        ({"growth": None}, "^growth must be"),
        ({"diffusion": "fast"}, "^diffusion must be a finite number of px"),
        ({"growth": (0.5, 0.2)}, "^growth must be"),
        ({"growth": (0.5,)}, "^growth must be"),
        ({"growth": (0.0, 1.2)}, "^growth must be"),
        ({"diffusion": -1}, "^diffusion must be a finite number of px"),
        ({"order": 0.4}, "^order is not for sequences"),
        ({"contrast": "medium"}, "^contrast must be one of"),
        ({"shape": (8,)}, "^shape must be"),
        ({"random_state": 0.5}, "^random_state must be"),
    ],
)
def test_invalid_arguments_are_named(arguments, what):
    with pytest.raises(InvalidParameterError, match=what):
        make_nucleation_sequence(**{"n_frames": 1, "shape": (8, 8), **arguments})


def test_a_film_of_vacuum_works():
    film = make_nucleation_sequence(2, (16, 16), mask_threshold=1, random_state=0)
    assert len(film.positions) == 0
    assert (film.target == 0).all()
