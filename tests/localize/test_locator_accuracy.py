"""Positions and standard errors of AtomLocator, compared with truth and Cramér-Rao bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemkit.localize import AtomLocator
from stemkit.metrics import atom_score

from .drawn_atoms import SIGMA, crowd, draw, grid


def errors(true, found):
    score = atom_score(true, found[["y", "x"]], tolerance=3)
    assert score.missed == 0
    rows = found.iloc[score.matches["found"]]
    return rows[["y", "x"]].to_numpy() - np.asarray(true)[score.matches["true"]], rows


def bound(variance, amplitude, place, sigma=SIGMA):
    """Cramér-Rao bound of y if amplitude, position, sigma and a constant background are unknown.

    Derivatives are finite differences, in a window much larger than that of a fit.
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
    # Atoms overlap, at distances from 2.67 sigma, and some have no maximum of their own.
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
    # Near the border the background is not extrapolated linearly.
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
    # The rms of 2 x 800 values has an error of 2.5 %: a fit at the bound fails once in a million.
    assert 0.88 * expected < rms < 1.2 * expected
    # The standard errors of the table agree with these errors at each position.
    pull = offset / rows[["y_err", "x_err"]].to_numpy()
    assert 0.85 < np.sqrt((pull**2).mean()) < 1.1
    assert np.abs(offset.mean(axis=0)).max() < 5 * expected / np.sqrt(len(offset))


def test_crowded_atoms_are_resolved():
    places, frame = crowd()
    locator = AtomLocator(sigma=SIGMA).fit([frame])
    found = locator.predict([frame])
    score = atom_score(places, found[["y", "x"]], tolerance=2)
    assert score.f1 > 0.97
    assert score.rms_error < 0.3
    # Maxima of the frame alone do not show all atoms.
    assert locator.score([frame], places) == score.f1


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


def test_background_is_that_at_the_atom():
    x = np.arange(96)
    # The background is smooth over the width of its filter, but not constant.
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
