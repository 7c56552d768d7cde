"""Tests of the standard error of a decay map against the map's errors."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from stemkit import DriftDecayModel
from stemkit.damage._aligned_pair import AlignedPair, Background
from stemkit.damage._decay_error import PRIOR_ERROR, decay_error
from stemkit.damage._decay_map import decay_between
from stemkit.damage._network import DamageNetwork, initial_network
from stemkit.datasets import make_damage_sequence, make_scene
from stemkit.drift import DriftDecayAnalysis

SHAPE = (160, 176)


@cache
def network():
    return DamageNetwork(initial_network("default", 0))


def maps_of(first, second):
    pair = AlignedPair.from_frames(first.astype("f4"), second.astype("f4"))
    found = decay_between(network(), pair, np.ones(1))
    return found.decay[0], found.stderr[0]


def film(sigma, contrast, seed):
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, SHAPE), sigma)
    return 1 + contrast * texture / texture.std()


def test_errors_are_as_large_as_their_standard_errors():
    ratios = {}
    for content in ("perfect", "aperiodic"):
        for kind in ("gaussian", "perlin", "random"):
            for dose in (4, 15, 60):
                rng = np.random.default_rng([7, dose])
                scene = make_scene(SHAPE, content=content, random_state=rng)
                series = make_damage_sequence(
                    kind, 4, shape=SHAPE, scene=scene, dose=dose, background=0.2, random_state=rng
                )
                for index in (1, 3):
                    decay, stderr = maps_of(series.frames[0], series.frames[index])
                    square = np.mean(((decay - series.decay[index]) / stderr) ** 2)
                    ratios[content, kind, dose, index] = square
    assert 0.9 < np.sqrt(np.mean(list(ratios.values()))) < 1.3
    for part in ("perfect", "aperiodic", "gaussian", "perlin", "random", 4, 15, 60):
        squares = [square for cell, square in ratios.items() if part in cell]
        assert 0.7 < np.sqrt(np.mean(squares)) < 1.4, part


@pytest.mark.parametrize("dose", [5, 50, 500])
def test_vacuum_tells_nothing_and_is_undamaged(dose):
    rng = np.random.default_rng(dose)
    decay, stderr = maps_of(*rng.poisson(dose, (2, *SHAPE)))
    assert np.median(stderr) > 0.9 * PRIOR_ERROR
    assert np.abs(decay - 1).mean() < 0.1


@pytest.mark.parametrize("sigma", [1, 1.5, 3])
@pytest.mark.parametrize("dose", [20, 100, 400])
def test_a_film_on_which_nothing_happened_is_undamaged_within_the_error(sigma, dose):
    rng = np.random.default_rng([int(sigma), dose])
    image = film(sigma, 0.06, seed=8)
    decay, stderr = maps_of(*(rng.poisson(dose * image) for _ in range(2)))
    assert np.average(1 - decay, weights=stderr**-2.0) < 0.1
    assert (np.abs(decay - 1) > 3 * stderr).mean() < 0.05


def test_half_of_a_film_is_told_where_it_has_texture():
    rng = np.random.default_rng(0)
    image = film(1.5, 0.15, seed=3)
    decay, stderr = maps_of(*(rng.poisson(400 * f) for f in (image, 1 + 0.5 * (image - 1))))
    assert np.median(stderr) < 0.1
    assert np.average(decay, weights=stderr**-2.0) == pytest.approx(0.5, abs=0.05)


def test_vacuum_beside_a_particle_is_less_certain_than_the_particle():
    y, x = np.indices(SHAPE)
    columns = np.clip(np.cos(2 * np.pi * y / 11) * np.cos(2 * np.pi * (x + 0.3 * y) / 13), 0, None)
    body = 1 / (1 + np.exp((x - 70) / 4))
    rng = np.random.default_rng(1)
    frames = [rng.poisson(30 * (0.1 + left * body * (0.6 + columns))) for left in (1, 0.6)]
    decay, stderr = maps_of(*frames)
    particle, vacuum = (slice(10, -10), slice(10, 50)), (slice(None), slice(140, None))
    assert stderr[particle].mean() < 0.1
    assert stderr[vacuum].mean() > 0.8 * PRIOR_ERROR
    assert decay[particle].mean() == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e4])
def test_the_error_does_not_depend_on_the_unit(unit):
    series = make_damage_sequence("perlin", 2, shape=SHAPE, dose=20, random_state=0)
    expected = maps_of(*series.frames)
    for found, known in zip(maps_of(*(unit * series.frames)), expected, strict=True):
        np.testing.assert_allclose(found, known, atol=0.01)


def test_frames_without_structure_tell_nothing():
    pair = AlignedPair.from_frames(*np.full((2, 20, 30), 3.0, dtype="float32"))
    background = Background(np.full((20, 30), 3.0, "f4"), 0.0)
    found = decay_error(pair, pair.above(background), background, np.full((20, 30), 0.2))
    assert (found.decay == 1).all()
    assert (found.stderr == PRIOR_ERROR).all()


def test_a_map_that_is_not_refined_includes_its_disagreement_with_the_frames():
    series = make_damage_sequence("gaussian", 2, shape=SHAPE, dose=50, random_state=0)
    pair = AlignedPair.from_frames(*series.frames)
    background = Background(np.zeros(SHAPE, "f4"), 0.0)
    wrong = (series.decay[1] - 0.2).clip(0, 1)
    errors = [
        decay_error(pair, pair.above(background), background, wrong, refined=refined)
        for refined in (True, False)
    ]
    assert (errors[1].decay == wrong).all()
    assert np.median(errors[0].stderr) < 0.1
    assert np.median(errors[1].stderr) == pytest.approx(0.2, abs=0.05)


def test_a_series_has_a_standard_error_of_each_map():
    series = make_damage_sequence("perlin", 3, shape=(96, 96), dose=30, random_state=0)
    model = DriftDecayModel()
    found = model.analyze(series.frames)
    table, maps = found
    assert isinstance(found, DriftDecayAnalysis)
    assert found.decay_stderr.shape == maps.shape
    assert (found.decay_stderr[0] == 0).all()
    assert (found.decay_stderr[1:] > 0).all()
    decay, stderr = model.decay_maps(series.frames, trajectory=table, return_stderr=True)
    np.testing.assert_array_equal(decay, maps)
    np.testing.assert_array_equal(stderr, found.decay_stderr)


def test_the_error_grows_with_the_time_between_the_frames():
    series = make_damage_sequence("perlin", 2, shape=(96, 96), dose=30, random_state=0)
    state = DriftDecayModel().predict(series.frames, t=[0, 0.5, 1])
    assert state.decay_stderr.shape == (3, 96, 96)
    assert (state.decay_stderr[0] == 0).all()
    slope = 0.5 * state.decay[2].clip(0.01) ** -0.5
    inside = state.overlap
    expected = (slope * state.decay_stderr[2]).clip(0, PRIOR_ERROR)
    np.testing.assert_allclose(state.decay_stderr[1][inside], expected[inside], rtol=1e-3)
