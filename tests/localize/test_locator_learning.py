"""What AtomLocator learns from frames: the size of atoms and the threshold."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from stemkit.localize import AtomLocator, _locator
from stemkit.localize._peaks import response_noise
from stemkit.localize._sparse import Frame
from stemkit.localize._texture import background_amplitude, most_crowded, noise_amplitude
from stemkit.metrics import atom_score

from .drawn_atoms import SIGMA, atoms_at, draw, grid


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


@pytest.mark.parametrize("grain", [0.0, 6.0])
def test_grains_of_a_film_are_not_reported_as_atoms(grain):
    # The grains have the size of atoms, are smooth, and as often bright as dark.
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
    # Most grains are above the threshold for white noise of this strength.
    if grain:
        given = AtomLocator(sigma=locator.sigma_, threshold=4 * 0.2).fit([frame])
        assert len(given.predict([frame])) > 60
    else:
        assert locator.threshold_ < 5


@pytest.mark.parametrize("border", ["top", "bottom", "left", "right"])
def test_the_border_does_not_count_as_background(border):
    # At the border there may be atoms outside of the frame.
    frame = np.random.default_rng(0).normal(size=(70, 80)).astype("f4")
    expected = background_amplitude([frame], [atoms_at([])], SIGMA)
    # The value is that of white noise alone.
    assert expected == pytest.approx(response_noise(SIGMA), rel=0.1)
    lines = {"top": np.s_[:1], "bottom": np.s_[-1:], "left": np.s_[:, :1], "right": np.s_[:, -1:]}
    frame[lines[border]] += 500 * (np.arange(frame[lines[border]].size) % 7 < 3).reshape(
        frame[lines[border]].shape
    )
    found = background_amplitude([frame], [atoms_at([])], SIGMA)
    assert found == pytest.approx(expected, rel=0.01)


def test_known_atoms_do_not_count_as_background():
    places = np.indices((5, 5)).reshape(2, -1).T * 12.0 + 10
    noise = np.random.default_rng(0).normal(size=(70, 70)).astype("f4")
    frame = noise + draw((70, 70), places, 30.0).astype("f4")
    alone = background_amplitude([noise], [atoms_at([])], SIGMA)
    known = background_amplitude([frame], [atoms_at(places, 30.0)], SIGMA)
    assert known == pytest.approx(alone, rel=0.05)
    assert background_amplitude([frame], [atoms_at([])], SIGMA) > 1.5 * alone
    # The result is the median over frames.
    frames, atoms = [noise, 3 * noise, 100 * noise], [atoms_at([])] * 3
    assert background_amplitude(frames, atoms, SIGMA) == pytest.approx(3 * alone, rel=1e-3)


def test_noise_of_an_amplitude_is_that_of_the_filter():
    frames = np.random.default_rng(0).normal(0, 2, (3, 100, 110)).astype("f4")
    found = noise_amplitude(frames, SIGMA)
    assert found == pytest.approx(2 * response_noise(SIGMA), rel=0.03)


@pytest.mark.parametrize("center", [(0, 0), (100, 150), (199, 299), (0, 299), (80, 5)])
def test_the_most_crowded_part_contains_the_crowd(center):
    rng, shape = np.random.default_rng(0), (200, 300)
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    few = rng.uniform(0, shape, (20, 2))
    crowd_places = (center + rng.normal(0, 4, (60, 2))).clip(-0.4, np.array(shape) - 0.6)
    part = most_crowded(index, atoms_at(np.concatenate([few, crowd_places])), SIGMA)
    assert part.shape == (54, 54)  # 36 sigma
    y, x = np.unravel_index(part[0, 0], shape)
    np.testing.assert_array_equal(part, index[y : y + 54, x : x + 54])
    inside = ((crowd_places >= [y - 0.5, x - 0.5]) & (crowd_places < [y + 53.5, x + 53.5])).all(1)
    assert inside.mean() > 0.95
    # Along an axis on which the frame is smaller, all of it is used.
    for small in (index[:40], index[:, :30], index[:10, :10]):
        inner = crowd_places[(crowd_places < np.array(small.shape) - 1).all(axis=1)]
        found = most_crowded(small, atoms_at(inner), SIGMA)
        assert found.shape == tuple(np.minimum(small.shape, 54))


@pytest.mark.parametrize("grain, n_times", [(0.0, 0), (6.0, 1)])
def test_parts_are_located_once_and_only_on_a_film(monkeypatch, grain, n_times):
    calls = []
    locate = _locator.locate
    monkeypatch.setattr(_locator, "examine", lambda *_: Frame(sparse=False, textured=True))
    monkeypatch.setattr(_locator, "locate", lambda *args: calls.append(1) or locate(*args))
    rng = np.random.default_rng(7)
    places = (np.indices((3, 3)).reshape(2, -1).T + 0.5) * 40
    film = ndimage.gaussian_filter(rng.normal(size=(120, 120)), 2.5, mode="wrap")
    frames = draw((120, 120), places, 60, 2.5) + grain / film.std() * film
    AtomLocator().fit([frames + rng.normal(0, 1, (120, 120)) for _ in range(2)])
    assert len(calls) == 2 * n_times


@pytest.mark.parametrize("n_frames", [1, 2, 5, 40])
def test_at_most_four_frames_are_learned_from(monkeypatch, n_frames):
    learned = []
    monkeypatch.setattr(AtomLocator, "_learn", lambda self, frames, guess: learned.extend(frames))
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
