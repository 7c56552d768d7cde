"""Atoms of frames in which parts hold no data."""

import warnings

import numpy as np
import pytest
from scipy.spatial import KDTree

from stemkit.exceptions import BadPixelWarning
from stemkit.localize import AtomLocator
from stemkit.localize._joint import Background, joint_step
from stemkit.localize._peaks import white_noise

from .drawn_atoms import SIGMA, atoms_at, crowd, draw

pytestmark = pytest.mark.filterwarnings("ignore::stemkit.exceptions.BadPixelWarning")
SHAPE = (96, 104)
Y, X = np.indices(SHAPE)
PARTS = {
    "stopped": Y >= 50,
    "left": X < 40,
    "hole": (abs(Y - 45) < 18) & (abs(X - 50) < 21),
    "disc": np.hypot(Y - 48, X - 52) < 24,
}


@pytest.fixture(scope="module", params=["bright", "dark"])
def crystal(request):
    """Atoms of either polarity, seen in a noisy frame."""
    rng = np.random.default_rng(0)
    places = np.stack(np.meshgrid(np.arange(4, 96, 8), np.arange(5, 104, 8.0)), -1).reshape(-1, 2)
    places += rng.uniform(-1, 1, places.shape)
    sign = 1 if request.param == "bright" else -1
    frame = 500 + sign * draw(SHAPE, places, 120) + 6 * rng.normal(size=SHAPE)
    return places, frame, AtomLocator(polarity=request.param)


def matches(table, places):
    distance, _ = KDTree(places).query(table[["y", "x"]])
    return distance


@pytest.mark.parametrize("mark", [np.nan, 0])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_all_atoms_of_the_recorded_part_are_found_and_no_others(crystal, part, mark):
    places, frame, locator = crystal
    lost = np.ma.array(np.where(part, mark, frame), mask=part)
    table = locator.fit(lost[np.newaxis]).predict(lost[np.newaxis])
    distance = matches(table, places)
    assert (distance < 1).all()
    assert np.sqrt(np.mean(distance**2)) < 0.12
    assert not part[tuple(np.rint(table[["y", "x"]].to_numpy()).astype(int).T)].any()
    outside = KDTree(np.argwhere(part)).query(places)[0] > 1.0
    inside_frame = (places > 0).all(axis=1) & (places < np.array(SHAPE) - 1).all(axis=1)
    seen = KDTree(table[["y", "x"]]).query(places[outside & inside_frame])[0] < 1
    assert seen.all()
    assert locator.sigma_ == pytest.approx(SIGMA, rel=0.03)


def test_unmarked_rows_without_data_are_found(crystal):
    places, frame, locator = crystal
    stopped = np.where(PARTS["stopped"], 0, frame)
    table = locator.fit([stopped]).predict([stopped])
    assert (matches(table, places) < 1).all()
    assert table["y"].max() < 50


def test_values_under_the_mask_have_no_influence(crystal):
    _, frame, locator = crystal
    hole = PARTS["hole"]
    tables = [
        locator.fit(lost).predict(lost)
        for lost in (
            np.ma.array([frame], mask=[hole]),
            np.ma.array([np.where(hole, 1e4 * X, frame)], mask=[hole]),
        )
    ]
    assert tables[0].equals(tables[1])


def test_an_atom_cut_by_the_edge_of_a_part_is_where_its_rest_shows_it():
    rng = np.random.default_rng(1)
    frame = 50 + draw((40, 40), [[20.0, 20.0], [9, 30], [31, 8]], 300) + rng.normal(size=(40, 40))
    cut = np.ma.array(frame, mask=np.arange(40)[:, np.newaxis] * np.ones(40) > 20)
    atom = AtomLocator(sigma=SIGMA, threshold=50).fit([frame]).predict(cut[np.newaxis])
    atom = atom.iloc[np.argmin(abs(atom["y"] - 20))]
    assert abs(atom["y"] - 20) < min(0.1, 4 * atom["y_err"])
    assert abs(atom["x"] - 20) < 0.05
    whole = AtomLocator(sigma=SIGMA, threshold=50).fit([frame]).predict([frame])
    assert atom["y_err"] > 1.5 * whole["y_err"].max()  # half of the atom tells less


@pytest.mark.parametrize("share", [0.02, 0.08])
def test_single_masked_pixels_take_no_part_in_the_fit(share):
    places, frame = crowd(3, (90, 90), distance=8.0)
    lost = np.random.default_rng(5).random(frame.shape) < share
    holed = np.where(lost, np.nan, frame)[np.newaxis]
    errors = {}
    for bad_pixels in ("repair", "mask"):
        locator = AtomLocator(bad_pixels=bad_pixels).fit(holed)
        table = locator.predict(holed)
        distance = matches(table, places)
        assert (distance > 1).mean() < 0.03
        errors[bad_pixels] = np.sqrt(np.mean(distance[distance < 1] ** 2))
        seen = KDTree(table[["y", "x"]]).query(places)[0] < 1
        assert seen.mean() > 0.97  # an atom may lie under a masked pixel
    assert errors["mask"] <= errors["repair"] * 1.01


@pytest.mark.parametrize("bad_pixels", ["repair", "mask"])
def test_sound_frames_give_what_they_gave_unmasked(bad_pixels):
    _, frame = crowd(2, (60, 70))
    plain = AtomLocator(bad_pixels=None).fit([frame]).predict([frame])
    with warnings.catch_warnings():
        warnings.simplefilter("error", BadPixelWarning)
        found = AtomLocator(bad_pixels=bad_pixels).fit([frame]).predict([frame])
    assert found.equals(plain)


def test_the_noise_is_that_of_the_data():
    noise = np.random.default_rng(0).normal(0, 3, (160, 160))
    lost = np.zeros(noise.shape, bool)
    lost[60:] = True
    masked = np.ma.array(np.where(lost, 0, noise), mask=lost)
    assert white_noise(masked) == pytest.approx(3, rel=0.06)


def test_the_background_is_that_of_the_data_and_its_transpose_matches():
    rng = np.random.default_rng(0)
    known = rng.random((30, 40)) < 0.7
    known[10:20, 5:25] = False
    background = Background(SIGMA, known)
    np.testing.assert_allclose(background(np.where(known, 7.0, 99.0))[known], 7.0)
    one, other = rng.normal(size=(2, 30, 40))
    product = np.vdot(one, background.transposed(other))
    np.testing.assert_allclose(np.vdot(background(one), other), product)


def test_a_joint_step_ignores_pixels_without_data():
    truth, known = atoms_at([[10, 12], [14, 20]], 50.0), np.ones((30, 40), bool)
    known[12:, 20:] = False
    frame = truth.draw(known.shape)
    start = atoms_at([[10.2, 12.1], [13.9, 20.2]], 48.0)
    background = Background(SIGMA, known)
    variance = np.where(known, 1e-6, np.inf)
    for wrong in (0.0, 1e3):
        residual = np.where(known, frame, wrong) - start.draw(known.shape)
        residual = residual - background(residual)
        step = joint_step(start, residual, variance, SIGMA, 10.0, background)
        np.testing.assert_allclose(start.y + step[:, 1], truth.y, atol=0.03)
        np.testing.assert_allclose(start.x + step[:, 2], truth.x, atol=0.03)
