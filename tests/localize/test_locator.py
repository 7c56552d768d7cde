"""AtomLocator as an estimator: invariants, unusual frames, errors, and selection of atoms."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from stemkit.datasets import make_crystal_images, make_nucleation
from stemkit.exceptions import PolarityWarning
from stemkit.io import FrameStack
from stemkit.localize import AtomLocator
from stemkit.localize._search import _inside, _merged, _significant, center
from stemkit.localize._windows import Atoms
from stemkit.metrics import atom_score

from ..labelled_arrays import series
from .drawn_atoms import SIGMA, atoms_at, crowd, draw, grid


def test_frames_do_not_depend_on_each_other():
    frames = np.stack([crowd(seed, (40, 50))[1] for seed in range(3)])
    with parallel_config(backend="threading"):
        locator = AtomLocator(n_jobs=2).fit(frames)
        table = locator.predict(frames)
    alone = AtomLocator().fit(frames)
    assert (locator.sigma_, locator.threshold_) == (alone.sigma_, alone.threshold_)
    assert table["frame"].is_monotonic_increasing
    locator.set_params(n_jobs=None)
    for order in ([2, 0, 1], [1], [1, 1]):
        again = locator.predict(frames[order])
        for position, index in enumerate(order):
            one = again[again["frame"] == position].drop(columns="frame")
            same = table[table["frame"] == index].drop(columns="frame")
            np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("turn", [np.flipud, np.fliplr, np.transpose])
def test_turning_the_frame_turns_the_places(turn):
    frame = crowd()[1]
    height, width = frame.shape
    locator = AtomLocator(sigma=SIGMA).fit([frame])
    places = locator.predict([frame])[["y", "x"]].to_numpy()
    turned = locator.predict([turn(frame)])[["y", "x"]].to_numpy()
    back = {
        np.flipud: lambda p: np.column_stack([height - 1 - p[:, 0], p[:, 1]]),
        np.fliplr: lambda p: np.column_stack([p[:, 0], width - 1 - p[:, 1]]),
        np.transpose: lambda p: p[:, ::-1],
    }[turn](turned)
    assert atom_score(places, back, tolerance=0.02).f1 > 0.97


@pytest.mark.parametrize("gain, offset", [(1e-3, 0), (1, 5000), (50, -3000), (1e6, 1e7)])
def test_gain_and_offset_of_the_camera_move_nothing(gain, offset):
    frame = crowd()[1]
    expected = AtomLocator().fit([frame]).predict([frame])
    found = AtomLocator().fit([gain * frame + offset]).predict([gain * frame + offset])
    assert atom_score(expected, found, tolerance=0.02).f1 > 0.97
    scale = found["amplitude"].median() / expected["amplitude"].median()
    assert scale == pytest.approx(gain, rel=1e-2)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((1, 1, 1)),
        np.full((2, 5, 7), 3.7),
        np.full((1, 64, 64), 65535, dtype=np.uint16),
        np.random.default_rng(0).normal(size=(2, 1, 40)),
        np.random.default_rng(0).normal(size=(2, 40, 1)),
        np.random.default_rng(0).poisson(0.01, (2, 40, 50)),
        1e30 * np.eye(9)[None],
        1e-30 * np.eye(9)[None],
    ],
)
def test_odd_frames_give_a_table_without_nan(frames):
    found = AtomLocator().fit(frames).predict(frames)
    assert not found.isna().any().any()
    assert list(found)[:5] == ["frame", "y", "x", "amplitude", "sigma"]
    if np.ptp(frames) == 0:
        assert len(found) == 0
        assert found["frame"].dtype == np.int64


def test_pickle_and_clone():
    frame = crowd()[1]
    locator = AtomLocator(sigma=1.4).fit([frame])
    assert clone(locator).get_params() == locator.get_params()
    again = pickle.loads(pickle.dumps(locator))
    pd.testing.assert_frame_equal(again.predict([frame]), locator.predict([frame]))


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda f: AtomLocator(sigma=0).fit(f),
            r"^sigma must be a finite number of px in \[0\.1, 200\] or None",
        ),
        (
            lambda f: AtomLocator(threshold=-1).fit(f),
            "^threshold must be a finite number above 0 or None",
        ),
        (lambda f: AtomLocator(sigma="wide").fit(f), "^sigma must be"),
        (lambda f: AtomLocator(n_jobs=0).fit(f), "^n_jobs must be an int"),
        (lambda f: AtomLocator(n_jobs=0.5).fit(f), "^n_jobs must be an int"),
        (lambda f: AtomLocator().fit(f).score(f[:1], [[1, 1]], tolerance=0), "^tolerance must be"),
        (lambda f: AtomLocator().fit(np.full((2, 4, 4), np.nan)), "X lacks 100% of the pixels"),
        (lambda f: AtomLocator().fit(f).predict(f[0]), "X\\[np.newaxis\\]"),
        (lambda f: AtomLocator().fit(f).score(f, [[1, 1]]), "y has no column 'frame'"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0).normal(size=(2, 20, 20)))


def test_predict_before_fit():
    with pytest.raises(NotFittedError):
        AtomLocator().predict(np.zeros((1, 8, 8)))


def test_neither_torch_nor_matplotlib_is_needed():
    code = (
        "import sys, numpy as np\n"
        "from stemkit import AtomLocator\n"
        "AtomLocator().fit(np.eye(16)[None]).predict(np.eye(16)[None])\n"
        "print([name for name in ('torch', 'matplotlib', 'ase') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_atoms_must_be_certain_and_bright():
    atoms = Atoms.at(np.zeros((4, 2)), np.array([10.0, 10.0, 10.0, 4.0]), SIGMA)
    atoms.amplitude_err[:] = [1.0, 4.9, 5.1, 0.1]
    assert _significant(atoms, 5.0).tolist() == [True, True, False, False]


def test_of_two_atoms_at_nearly_one_place_the_fainter_is_dropped():
    places = np.array([[10, 10], [10, 11.7], [30, 30], [30, 31.9], [50, 50]])
    merged = _merged(atoms_at(places, np.array([5.0, 4.0, 5.0, 4.0, 1.0])), SIGMA)
    # The distance is below 1.2 sigma, 1.8 px.
    assert merged.tolist() == [False, True, False, False, False]
    merged = _merged(atoms_at([[5, 5], [5, 6], [5, 7]], np.array([3.0, 9.0, 4.0])), SIGMA)
    assert merged.tolist() == [True, False, True]


def test_an_atom_is_inside_up_to_the_edge_of_the_last_pixel():
    places = [(-0.5, 0), (-0.51, 0), (9.5, 0), (9.51, 0), (0, 19.5), (0, 19.51), (0, -0.6), (5, 9)]
    found = _inside(atoms_at(places), (10, 20))
    assert found.tolist() == [True, False, True, False, True, False, False, True]


def test_a_frame_is_centered_at_its_median():
    frame = np.array([[1, 2, 900], [4, 5, 6]], dtype="u2")
    pixels, offset = center(frame)
    assert offset == 4.5
    assert pixels.dtype == float
    np.testing.assert_array_equal(pixels + offset, frame)


def test_dark_atoms_are_bright_ones_of_the_negative():
    places, shape = grid(np.random.default_rng(3), n=6)
    bright = np.random.default_rng(0).poisson(40 + draw(shape, places, 200)).astype("float32")
    dark = 500 - bright
    expected = AtomLocator(polarity="bright").fit([bright]).predict([bright])
    found = AtomLocator(polarity="dark").fit([dark]).predict([dark])
    np.testing.assert_allclose(found[["y", "x", "sigma"]], expected[["y", "x", "sigma"]], atol=1e-4)
    np.testing.assert_allclose(found["amplitude"], -expected["amplitude"], rtol=1e-4)
    np.testing.assert_allclose(found["background"], 500 - expected["background"], rtol=1e-4)
    with pytest.warns(PolarityWarning, match="dark spots are .* times as strong"):
        seen = AtomLocator().fit([dark])
    assert seen.polarity_ == "dark"
    assert AtomLocator().fit([bright]).polarity_ == "bright"


def test_wide_dark_columns_are_seen():
    places = np.array([[y, x] for y in range(4) for x in range(4)]) * 70 + 40
    frame = np.random.default_rng(0).poisson(300 - draw((290, 290), places, 100, 12))
    with pytest.warns(PolarityWarning):
        found = AtomLocator().fit([frame]).predict([frame])
    assert atom_score(places, found[["y", "x"]], tolerance=3).f1 == 1


@pytest.mark.parametrize("material", ["SrTiO3", "graphene", "Si", "GaN"])
def test_lattices_of_bright_atoms_are_taken_for_bright_ones(material):
    frames = make_crystal_images(material, 1, shape=(128, 128), random_state=0).frames
    noisy = np.random.default_rng(0).poisson(5 + 40 * frames / frames.max())
    assert AtomLocator().fit(noisy).polarity_ == "bright"


@pytest.mark.parametrize("sigma", [10, 14, 20, 30])
def test_wide_columns_are_not_taken_for_many(sigma):
    places = np.array([[y, x] for y in range(3) for x in range(3)]) * 5.5 * sigma + 3 * sigma
    frame = 20 + draw((int(17 * sigma),) * 2, places, 100, sigma)
    frame = np.random.default_rng(0).poisson(frame)
    locator = AtomLocator().fit([frame])
    assert locator.sigma_ == pytest.approx(sigma, rel=0.1)
    found = locator.predict([frame])
    assert atom_score(places, found[["y", "x"]], tolerance=sigma / 4).f1 == 1


def test_true_positions_of_each_frame_may_be_a_list():
    data = make_nucleation(4, shape=(48, 48), contrast="high", random_state=0)
    tables = [data.positions.query("frame == @i") for i in range(4)]
    arrays = [table[["y", "x"]].to_numpy() for table in tables]
    locator = AtomLocator(sigma=1.5).fit(data.noisy)
    expected = locator.score(data.noisy, data.positions)
    assert 0 < expected < 1
    for truth in (arrays, tables, tuple(arrays)):
        assert locator.score(data.noisy, truth) == pytest.approx(expected, abs=1e-12)
    search = GridSearchCV(AtomLocator(sigma=1.5), {"threshold": [20, 500]}, cv=2)
    assert search.fit(data.noisy, arrays).best_params_ == {"threshold": 20}
    with pytest.raises(ValueError, match="y lists the positions in 3 frames, but X holds 4"):
        locator.score(data.noisy, arrays[:3])
    with pytest.raises(ValueError, match=r"^y\[1\] has shape \(2, 3\)"):
        locator.score(data.noisy[:2], [arrays[0], np.zeros((2, 3))])


def test_frames_with_a_pixel_size_give_columns_in_nm():
    frames = crowd(0, (40, 50))[1][np.newaxis]
    locator = AtomLocator(sigma=SIGMA).fit(frames)
    in_px = locator.predict(frames)
    assert not any(name.endswith("_nm") for name in in_px)
    for X in (FrameStack(frames, (0.03, 0.02)), series(frames, 0.03, 0.02)):
        table = locator.predict(X)
        pd.testing.assert_frame_equal(table[in_px.columns], in_px)
        for name, side in {"y": 0.03, "y_err": 0.03, "x": 0.02, "x_err": 0.02}.items():
            np.testing.assert_allclose(table[f"{name}_nm"], side * in_px[name])
        np.testing.assert_allclose(table["sigma_nm"] ** 2, 0.03 * 0.02 * in_px["sigma"] ** 2)
    empty = locator.predict(FrameStack(np.zeros((1, 40, 50)), 0.5))
    assert (len(empty), list(empty)) == (0, list(table))


def test_positions_in_nm_are_those_of_the_specimen():
    """The same specimen with other pixels has the same positions in nm."""
    frame = crowd(0, (40, 50))[1]
    fine = np.repeat(np.repeat(frame, 2, axis=0), 2, axis=1)
    tables = [
        AtomLocator(sigma=factor * SIGMA).fit([X]).predict(FrameStack(X[None], 0.1 / factor))
        for factor, X in ((1, frame), (2, fine))
    ]
    # The centre of a pixel is at (i + 1/2) / 2 of the coarse ones.
    moved = tables[1].assign(y=tables[1].y_nm - 0.025, x=tables[1].x_nm - 0.025)
    coarse = tables[0].assign(y=tables[0].y_nm, x=tables[0].x_nm)
    assert atom_score(coarse, moved, tolerance=0.02).f1 > 0.9
    assert tables[1]["sigma_nm"].median() == pytest.approx(tables[0]["sigma_nm"].median(), rel=0.1)


def test_matches_are_within_two_px_by_default():
    places = np.array([(20.0, 22.0), (45.0, 30.0), (30.0, 60.0)])
    frame = draw((64, 80), places) + np.random.default_rng(0).normal(0, 1, (64, 80))
    locator = AtomLocator(sigma=1.5).fit(frame[None])
    for off, score in ((1.8, 1.0), (2.3, 0.0)):
        assert locator.score(frame[None], places + np.array([off, 0])) == pytest.approx(score)
    assert locator.score(frame[None], places + np.array([2.3, 0]), tolerance=2.5) == pytest.approx(
        1
    )
