import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from scipy import ndimage
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from stemkit.localize import AtomLocator, _locator
from stemkit.localize._fit import fit_atoms
from stemkit.localize._locator import (
    _background_amplitude,
    _center,
    _inside,
    _merged,
    _most_crowded,
    _noise_amplitude,
    _significant,
)
from stemkit.localize._peaks import guess_sigma, response_noise
from stemkit.localize._windows import Atoms
from stemkit.metrics import atom_score

SIGMA = 1.5


def draw(shape, places, amplitude=100.0, sigma=SIGMA):
    """Sum of exact Gaussians, nowhere cut."""
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])[:, None]
    places = np.atleast_2d(places).astype(float)
    along_y = np.exp(-((y - places[:, 0]) ** 2) / (2 * np.broadcast_to(sigma, len(places)) ** 2))
    along_x = np.exp(-((x - places[:, 1]) ** 2) / (2 * np.broadcast_to(sigma, len(places)) ** 2))
    return (along_y * np.broadcast_to(amplitude, len(places))) @ along_x.T


def grid(rng, n=12, spacing=16.0, scatter=2.0):
    """Places on a loose grid, none near another or the border, and the shape they need."""
    index = np.indices((n, n)).reshape(2, -1).T
    return (index + 0.5) * spacing + rng.uniform(-scatter, scatter, (n * n, 2)), (
        round(n * spacing),
    ) * 2


def errors(true, found):
    score = atom_score(true, found[["y", "x"]], tolerance=3)
    assert score.missed == 0
    rows = found.iloc[score.matches["found"]]
    return rows[["y", "x"]].to_numpy() - np.asarray(true)[score.matches["true"]], rows


def bound(variance, amplitude, place, sigma=SIGMA):
    """Cramér-Rao bound of y: amplitude, place, sigma and a constant background are not known.

    Derivatives are differences, in a window much larger than what a fit looks at.
    """
    shape = variance.shape
    at = np.array([amplitude, *place, sigma])
    steps = np.array([1e-2, 1e-4, 1e-4, 1e-4])
    columns = [np.ones(shape)]
    for i, step in enumerate(steps):
        more, less = at.copy(), at.copy()
        more[i] += step
        less[i] -= step
        columns.append(
            (draw(shape, more[1:3], more[0], more[3]) - draw(shape, less[1:3], less[0], less[3]))
            / (2 * step)
        )
    jacobian = np.stack([c.ravel() for c in columns], axis=1)
    information = jacobian.T @ (jacobian / variance.reshape(-1, 1))
    return np.sqrt(np.linalg.inv(information)[2, 2])


def test_places_of_clean_atoms():
    rng = np.random.default_rng(0)
    places, shape = grid(rng)
    frame = 30 + draw(shape, places, rng.uniform(50, 200, len(places)))
    found = AtomLocator().fit([frame]).predict([frame])
    assert len(found) == len(places)
    offset, rows = errors(places, found)
    assert np.abs(offset).max() < 0.005
    np.testing.assert_allclose(rows["sigma"], SIGMA, rtol=0.005)
    np.testing.assert_allclose(rows["background"], 30, atol=0.5)


@given(st.floats(4.0, 9.0), st.floats(0, np.pi), st.floats(0.5, 2.0), st.floats(-0.5, 0.5))
@settings(max_examples=25)
def test_overlapping_neighbors_do_not_bias_each_other(distance, angle, ratio, shift):
    half = distance / 2 * np.array([np.sin(angle), np.cos(angle)])
    center = np.array([20.0, 20.0 + shift])
    places = np.array([center - half, center + half])
    frame = 10 + draw((41, 41), places, [100, 100 * ratio])
    found = AtomLocator(sigma=SIGMA, threshold=5).fit([frame]).predict([frame])
    assert len(found) == 2
    offset, _ = errors(places, found)
    assert np.abs(offset).max() < 0.005


@pytest.mark.parametrize("seed, scatter", [(0, 0.0), (1, 0.1)])
def test_places_of_a_clean_crowd(seed, scatter):
    # Each atom leans on its neighbours, at 2.67 sigma and further, and some are hidden by them.
    places, clean = crowd(seed, (48, 52), distance=2.67 * SIGMA, scatter=scatter, noise=0)
    found = AtomLocator().fit([clean]).predict([clean])
    assert len(found) == len(places)
    offset, _ = errors(places, found)
    assert np.abs(offset).max() < 0.005


def test_a_sloping_background_does_not_bias_positions():
    rng = np.random.default_rng(1)
    places, shape = grid(rng, n=8)
    y, x = np.indices(shape)
    frame = draw(shape, places) + 2.0 * x - 1.0 * y
    offset, _ = errors(places, AtomLocator(sigma=SIGMA, threshold=20).fit([frame]).predict([frame]))
    # Where the background goes on straight, which at a border it can't.
    inner = np.abs(places - shape[0] / 2).max(axis=1) < shape[0] / 2 - 28
    assert inner.sum() >= 16
    assert np.abs(offset[inner]).max() < 0.005


NOISES = {
    "white": (lambda clean: np.full_like(clean, 20.0**2), None),
    "HRTEM": (lambda clean: (0.03583 * clean + 1.379) ** 2, None),
    "Poisson": (lambda clean: clean, "poisson"),
}


@pytest.mark.parametrize(
    "noise, amplitude, background",
    [("white", 150, 0), ("HRTEM", 39, 99), ("Poisson", 60, 20), ("Poisson", 100, 1)],
)
def test_errors_are_those_of_the_cramer_rao_bound(noise, amplitude, background):
    rng = np.random.default_rng(2)
    places, shape = grid(rng, n=20)
    clean = background + draw(shape, places, amplitude)
    variance, law = NOISES[noise]
    if law == "poisson":
        frame = rng.poisson(clean)
    else:
        frame = clean + rng.normal(size=shape) * np.sqrt(variance(clean))
    found = AtomLocator(sigma=SIGMA).fit([frame]).predict([frame])
    offset, rows = errors(places, found)
    near = np.array([20.2, 20.3])
    one = variance(background + draw((41, 41), near, amplitude))
    expected = bound(one, amplitude, near)
    rms = np.sqrt((offset**2).mean())
    # 800 values of two coordinates scatter by 2.5 %: a fit at the bound fails once in a million.
    assert 0.88 * expected < rms < 1.2 * expected
    # And the errors that the table gives are these, for each place.
    pull = offset / rows[["y_err", "x_err"]].to_numpy()
    assert 0.85 < np.sqrt((pull**2).mean()) < 1.1
    assert np.abs(offset.mean(axis=0)).max() < 5 * expected / np.sqrt(len(offset))


def test_fit_learns_size_and_threshold():
    rng = np.random.default_rng(3)
    for sigma in (1.2, 2.0, 3.5):
        places, shape = grid(rng, n=6, spacing=9 * sigma, scatter=sigma)
        clean = 100 + draw(shape, places, 40, sigma)
        frames = clean + rng.normal(0, 5, (3, *shape))
        locator = AtomLocator().fit(frames)
        assert locator.sigma_ == pytest.approx(sigma, rel=0.1)
        assert 5 < locator.threshold_ < 30
        truth = pd.concat(
            [pd.DataFrame({"frame": i, "y": places[:, 0], "x": places[:, 1]}) for i in range(3)]
        )
        assert locator.score(frames, truth) > 0.95


def test_noise_alone_holds_few_atoms():
    frames = np.random.default_rng(4).normal(100, 7, (2, 200, 200))
    found = AtomLocator(sigma=SIGMA).fit(frames).predict(frames)
    assert len(found) < 20


def crowd(seed=5, shape=(80, 90), distance=4.5, scatter=0.0, noise=4.0):
    from scipy.stats import qmc

    rng = np.random.default_rng(seed)
    side = max(shape)
    places = side * qmc.PoissonDisk(2, radius=distance / side, rng=rng).fill_space() - 0.5
    places = places[(places < np.array(shape) - 0.5).all(axis=1)]
    amplitude = 40 * (1 + 0.15 * rng.normal(size=len(places)))
    sigma = SIGMA * (1 + scatter * rng.normal(size=len(places)))
    clean = 100 + draw(shape, places, amplitude, sigma)
    return places, clean + noise * rng.normal(size=shape)


def test_crowded_atoms_are_resolved():
    places, frame = crowd()
    locator = AtomLocator(sigma=SIGMA).fit([frame])
    found = locator.predict([frame])
    score = atom_score(places, found[["y", "x"]], tolerance=2)
    assert score.f1 > 0.97
    assert score.rms_error < 0.3
    # The maxima alone miss hidden atoms.
    assert locator.score([frame], places) == score.f1


@pytest.mark.parametrize("grain", [0.0, 6.0])
def test_grains_of_a_film_are_not_reported_as_atoms(grain):
    # As large as the atoms, smooth, and bright as often as dark.
    rng = np.random.default_rng(7)
    shape, n = (160, 160), 12
    index = np.indices((4, 3)).reshape(2, -1).T
    places = (index + 0.5) * [40, 53] + rng.uniform(-8, 8, (n, 2))
    film = ndimage.gaussian_filter(rng.normal(size=shape), 2.5, mode="wrap")
    frame = draw(shape, places, 60, 2.5) + grain / film.std() * film + rng.normal(0, 1, shape)
    locator = AtomLocator().fit([frame])
    found = locator.predict([frame])
    score = atom_score(places, found[["y", "x"]], tolerance=2)
    assert score.missed == 0
    assert score.extra <= 2
    # What white noise of this strength would make the threshold is passed by most of the grains.
    if grain:
        given = AtomLocator(sigma=locator.sigma_, threshold=4 * 0.2).fit([frame])
        assert len(given.predict([frame])) > 60
    else:
        assert locator.threshold_ < 5


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


def test_whole_numbers_and_saturation():
    rng = np.random.default_rng(6)
    places, shape = grid(rng, n=5)
    bright = 1000 + draw(shape, places, 80_000)
    frame = bright.clip(0, 65535).astype(np.uint16)
    found = AtomLocator().fit([frame]).predict([frame])
    offset, _ = errors(places, found)
    assert len(found) == len(places)
    assert np.abs(offset).max() < 0.1


def test_atoms_at_the_border():
    places = np.array([[0.3, 20.0], [20.0, 40.4], [39.2, 10.0]])
    frame = 5 + draw((40, 41), places)
    offset, _ = errors(places, AtomLocator(sigma=SIGMA).fit([frame]).predict([frame]))
    assert np.abs(offset).max() < 0.01


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
        (lambda f: AtomLocator().fit(np.full((2, 4, 4), np.nan)), "X contains NaN in frame 0"),
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


def test_an_atom_on_the_last_half_pixel_is_fitted_again():
    # So ends a fit whose atoms start the next one.
    place = np.array([[10.0, 31.5]])
    frame = 5 + draw((32, 32), place)
    fitted = fit_atoms(frame, Atoms.at(place, np.array([80.0]), SIGMA), SIGMA)
    np.testing.assert_allclose([fitted.y[0], fitted.x[0]], place[0], atol=0.01)


def test_background_is_that_at_the_atom():
    x = np.arange(96)
    # Smooth over the width of the background filter, but not constant.
    background = 200 + 60 * np.sin(2 * np.pi * x / 192) * np.ones((96, 1))
    places = np.array([[24.0, 20.0], [24.0, 48.0], [70.0, 76.0], [70.0, 30.0]])
    found = (
        AtomLocator(sigma=SIGMA, threshold=50)
        .fit([background])
        .predict([background + draw((96, 96), places)])
    )
    assert len(found) == 4
    expected = 200 + 60 * np.sin(2 * np.pi * found["x"] / 192)
    np.testing.assert_allclose(found["background"], expected, atol=4)


def test_atoms_must_be_certain_and_bright():
    atoms = Atoms.at(np.zeros((4, 2)), np.array([10.0, 10.0, 10.0, 4.0]), SIGMA)
    atoms.amplitude_err[:] = [1.0, 4.9, 5.1, 0.1]
    assert _significant(atoms, 5.0).tolist() == [True, True, False, False]


def test_clusters_of_atoms_are_not_taken_for_large_atoms():
    rng = np.random.default_rng(0)
    ring = 5.0 * np.stack([np.sin(np.arange(6) * np.pi / 3), np.cos(np.arange(6) * np.pi / 3)], 1)
    centers = np.indices((4, 4)).reshape(2, -1).T * 64 + 32
    places = (centers[:, None] + np.concatenate([ring, [[0, 0]]])).reshape(-1, 2)
    frame = draw((256, 256), places, sigma=1.1) + rng.normal(0, 2, (256, 256))
    assert guess_sigma(frame[None].astype("float32"), 6.0) < 1.7


def atoms_at(places, amplitude=10.0):
    places = np.reshape(places, (-1, 2))
    return Atoms.at(places, np.broadcast_to(amplitude, len(places)), SIGMA)


@pytest.mark.parametrize("border", ["top", "bottom", "left", "right"])
def test_the_border_does_not_count_as_background(border):
    # There may be atoms just outside of the frame.
    frame = np.random.default_rng(0).normal(size=(70, 80)).astype("f4")
    expected = _background_amplitude([frame], [atoms_at([])], SIGMA)
    # As for white noise alone.
    assert expected == pytest.approx(response_noise(SIGMA), rel=0.1)
    lines = {"top": np.s_[:1], "bottom": np.s_[-1:], "left": np.s_[:, :1], "right": np.s_[:, -1:]}
    frame[lines[border]] += 500 * (np.arange(frame[lines[border]].size) % 7 < 3).reshape(
        frame[lines[border]].shape
    )
    found = _background_amplitude([frame], [atoms_at([])], SIGMA)
    assert found == pytest.approx(expected, rel=0.01)


def test_known_atoms_do_not_count_as_background():
    places = np.indices((5, 5)).reshape(2, -1).T * 12.0 + 10
    noise = np.random.default_rng(0).normal(size=(70, 70)).astype("f4")
    frame = noise + draw((70, 70), places, 30.0).astype("f4")
    alone = _background_amplitude([noise], [atoms_at([])], SIGMA)
    known = _background_amplitude([frame], [atoms_at(places, 30.0)], SIGMA)
    assert known == pytest.approx(alone, rel=0.05)
    assert _background_amplitude([frame], [atoms_at([])], SIGMA) > 1.5 * alone
    # The median over frames.
    frames, atoms = [noise, 3 * noise, 100 * noise], [atoms_at([])] * 3
    assert _background_amplitude(frames, atoms, SIGMA) == pytest.approx(3 * alone, rel=1e-3)


def test_noise_of_an_amplitude_is_that_of_the_filter():
    frames = np.random.default_rng(0).normal(0, 2, (3, 100, 110)).astype("f4")
    found = _noise_amplitude(frames, SIGMA)
    assert found == pytest.approx(2 * response_noise(SIGMA), rel=0.03)


@pytest.mark.parametrize("center", [(0, 0), (100, 150), (199, 299), (0, 299), (80, 5)])
def test_the_most_crowded_part_contains_the_crowd(center):
    rng, shape = np.random.default_rng(0), (200, 300)
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    few = rng.uniform(0, shape, (20, 2))
    crowd_places = (center + rng.normal(0, 4, (60, 2))).clip(-0.4, np.array(shape) - 0.6)
    part = _most_crowded(index, atoms_at(np.concatenate([few, crowd_places])), SIGMA)
    assert part.shape == (54, 54)  # 36 sigma
    y, x = np.unravel_index(part[0, 0], shape)
    np.testing.assert_array_equal(part, index[y : y + 54, x : x + 54])
    inside = ((crowd_places >= [y - 0.5, x - 0.5]) & (crowd_places < [y + 53.5, x + 53.5])).all(1)
    assert inside.mean() > 0.95
    # A frame that is smaller is taken whole, along either axis.
    for small in (index[:40], index[:, :30], index[:10, :10]):
        inner = crowd_places[(crowd_places < np.array(small.shape) - 1).all(axis=1)]
        found = _most_crowded(small, atoms_at(inner), SIGMA)
        assert found.shape == tuple(np.minimum(small.shape, 54))


@pytest.mark.parametrize("grain, n_times", [(0.0, 0), (6.0, 1)])
def test_parts_are_located_once_and_only_on_a_film(monkeypatch, grain, n_times):
    calls = []
    locate = _locator._locate
    monkeypatch.setattr(_locator, "_locate", lambda *args: calls.append(1) or locate(*args))
    rng = np.random.default_rng(7)
    places = (np.indices((3, 3)).reshape(2, -1).T + 0.5) * 40
    film = ndimage.gaussian_filter(rng.normal(size=(120, 120)), 2.5, mode="wrap")
    frames = draw((120, 120), places, 60, 2.5) + grain / film.std() * film
    AtomLocator().fit([frames + rng.normal(0, 1, (120, 120)) for _ in range(2)])
    assert len(calls) == 2 * n_times


def test_of_two_atoms_at_nearly_one_place_the_fainter_is_dropped():
    places = np.array([[10, 10], [10, 11.7], [30, 30], [30, 31.9], [50, 50]])
    merged = _merged(atoms_at(places, np.array([5.0, 4.0, 5.0, 4.0, 1.0])), SIGMA)
    # Nearer than 1.2 sigma, which is 1.8 px.
    assert merged.tolist() == [False, True, False, False, False]
    merged = _merged(atoms_at([[5, 5], [5, 6], [5, 7]], np.array([3.0, 9.0, 4.0])), SIGMA)
    assert merged.tolist() == [True, False, True]


def test_an_atom_is_inside_up_to_the_edge_of_the_last_pixel():
    places = [(-0.5, 0), (-0.51, 0), (9.5, 0), (9.51, 0), (0, 19.5), (0, 19.51), (0, -0.6), (5, 9)]
    found = _inside(atoms_at(places), (10, 20))
    assert found.tolist() == [True, False, True, False, True, False, False, True]


def test_a_frame_is_centered_at_its_median():
    frame = np.array([[1, 2, 900], [4, 5, 6]], dtype="u2")
    pixels, offset = _center(frame)
    assert offset == 4.5
    assert pixels.dtype == float
    np.testing.assert_array_equal(pixels + offset, frame)


@pytest.mark.parametrize("n_frames", [1, 2, 5, 40])
def test_at_most_four_frames_are_learned_from(monkeypatch, n_frames):
    learned = []
    monkeypatch.setattr(AtomLocator, "_learn", lambda self, frames: learned.extend(frames))
    frames = np.arange(n_frames, dtype="f4")[:, None, None] * np.ones((8, 8))
    AtomLocator().fit(frames)
    indices = [int(frame[0, 0]) for frame in learned]
    assert len(indices) == min(n_frames, 4)
    assert (indices[0], indices[-1]) == (0, n_frames - 1)
    assert indices == sorted(set(indices))


def test_the_threshold_is_four_standard_deviations_of_the_noise():
    places = (np.indices((4, 4)).reshape(2, -1).T + 0.5) * 24
    clean = draw((96, 96), places, 60.0)
    frames = clean + np.random.default_rng(0).normal(0, 5, (3, 96, 96))
    locator = AtomLocator(sigma=SIGMA).fit(frames)
    assert locator.threshold_ == pytest.approx(4 * 5 * response_noise(SIGMA), rel=0.1)


@pytest.mark.parametrize("amplitude", [60.0, 3e-4])
def test_without_noise_the_threshold_is_a_twentieth_of_the_median_amplitude(amplitude):
    places = (np.indices((4, 4)).reshape(2, -1).T + 0.5) * 24 + 0.2
    locator = AtomLocator().fit([draw((96, 96), places, amplitude)])
    assert locator.threshold_ == pytest.approx(amplitude / 20, rel=0.02)
    given = AtomLocator(sigma=1.3, threshold=7.0).fit([draw((96, 96), places, amplitude)])
    assert (given.sigma_, given.threshold_) == (1.3, 7.0)


def test_without_atoms_the_size_is_a_default():
    noise = np.random.default_rng(0).normal(size=(1, 40, 50))
    assert AtomLocator().fit(noise).sigma_ == AtomLocator().fit(np.zeros((1, 9, 9))).sigma_ == 1.5


@pytest.mark.parametrize("guess", [1.0, 1.5, 4.0])
def test_the_size_stays_within_a_third_of_the_guess(monkeypatch, guess):
    monkeypatch.setattr(_locator, "guess_sigma", lambda *_: guess)
    places = (np.indices((4, 4)).reshape(2, -1).T + 0.5) * 24
    frame = draw((96, 96), places, 60.0, 2.0) + np.random.default_rng(0).normal(size=(96, 96))
    expected = min(max(2.0, 0.75 * guess), 1.33 * guess)
    assert AtomLocator().fit([frame]).sigma_ == pytest.approx(expected, rel=0.03)
