import numpy as np
import pytest
from scipy import ndimage

from stemkit._scene import render_columns
from stemkit.damage._aligned_pair import AlignedPair, DetailedFrame
from stemkit.damage._background_level import (
    _first_coefficient,
    _fit_offset,
    _smooth_level,
    background_of_pair,
    backgrounds_of_series,
)
from stemkit.datasets import make_scene
from stemkit.degradation import damage_pattern, degrade, record

SHAPE = (160, 176)


def estimate(first, second):
    return background_of_pair(AlignedPair.from_frames(first, second))


def faded_pair(*, strength=0.9, amorphous=0.0, seed=0, kind="gaussian"):
    scene = make_scene(SHAPE, content="perfect", spacing=(9, 14), random_state=seed)
    damage = damage_pattern(kind, SHAPE, random_state=seed)
    second, _ = degrade(scene, SHAPE, damage=damage, strength=strength, amorphous=amorphous)
    return render_columns(scene, SHAPE), second


@pytest.mark.parametrize("dose", [None, 10.0])
@pytest.mark.parametrize("kind", ["gaussian", "perlin"])
@pytest.mark.parametrize("background", [0.0, 0.3])
def test_even_film_is_estimated_without_dark_pixels(background, kind, dose):
    # The tails of the columns reach every pixel, so no pixel has the intensity of the film alone.
    rng = np.random.default_rng(0)
    pair = [
        record(f, dose=dose, background=background, random_state=rng) for f in faded_pair(kind=kind)
    ]
    found = estimate(*pair)
    contrast = pair[0].std()
    assert found.offset == 0
    assert np.abs(found.level - background).mean() < 0.15 * contrast


@pytest.mark.parametrize("amorphous", [0.5, 1.0])
def test_amorphised_matter_belongs_to_the_background(amorphous):
    first, second = faded_pair(amorphous=amorphous)
    level = estimate(first, second).level
    assert level.mean() == pytest.approx(amorphous * first.mean(), abs=0.1 * float(first.std()))


def test_variations_of_the_film_are_estimated():
    first, second = faded_pair(kind="perlin")
    x = np.arange(SHAPE[1])
    film = (0.3 + 0.1 * np.sin(2 * np.pi * x / 150)) * np.ones(SHAPE)
    level = estimate(*((f + film).astype("float32") for f in (first, second))).level
    assert np.corrcoef(level.ravel(), film.ravel())[0, 1] > 0.9
    assert np.abs(level - film).mean() < 0.03


@pytest.mark.parametrize("offset", [-0.1, 0.15])
def test_an_offset_between_the_frames_is_separated_from_the_level(offset):
    rng = np.random.default_rng(1)
    first, second = faded_pair(kind="perlin")
    first = record(first, dose=30, background=0.3, random_state=rng)
    second = record(second, dose=30, background=0.3 + offset, random_state=rng)
    found = estimate(first, second)
    assert found.offset == pytest.approx(offset, abs=0.03)
    assert found.level.mean() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("seed", [0, 1, 3, 4])
def test_a_wedge_that_turns_amorphous_from_its_thin_side_has_no_offset(seed):
    # Background and damage both depend on the thickness, so a constant background leaves an offset.
    rng = np.random.default_rng(seed)
    scene = make_scene(SHAPE, content="perfect", spacing=(9, 14), random_state=seed)
    y, x = np.indices(SHAPE)
    uneven = damage_pattern("perlin", SHAPE, cell=50, random_state=seed)(y, x) - 0.5
    thickness = 0.3 + 1.5 * x / SHAPE[1]
    decay = 1 - 0.85 * np.exp(-2 * (x / SHAPE[1] + 0.6 * uneven).clip(0))
    lattice = render_columns(scene, SHAPE)
    # Amorphous material scatters as much as the crystal, but without contrast between columns.
    pair = [
        record(thickness * signal, dose=10, background=0.2, random_state=rng)
        for signal in (lattice, decay * lattice + (1 - decay) * lattice.mean())
    ]
    assert estimate(*pair).offset == 0


@pytest.mark.parametrize("seed", [22, 33])
def test_noise_in_even_damage_makes_no_offset(seed):
    rng = np.random.default_rng(seed)
    scene = make_scene(SHAPE, content="aperiodic", spacing=(9, 12), random_state=seed)
    clean = [
        degrade(scene, SHAPE, damage=lambda y, x: np.ones(SHAPE), strength=strength)[0]
        for strength in (0, 0.2, 1)
    ]
    found = estimate(*(record(f, dose=10, background=0.1, random_state=rng) for f in clean[:2]))
    assert found.offset == 0
    # The film of the scene does not decay.
    film = 0.1 + clean[2].mean()
    assert found.level.mean() == pytest.approx(film, abs=0.3 * float(clean[0].std()))


def test_a_series_gives_a_better_level_than_its_first_pair():
    alone, together = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        frames = [
            record(faded_pair(strength=s, seed=seed)[1], dose=10, background=0.1, random_state=rng)
            for s in (0, 0.15, 0.5, 0.9)
        ]
        first, *later = (DetailedFrame(frame) for frame in frames)
        pairs = [AlignedPair(first, frame, np.ones(SHAPE, "float32")) for frame in later]
        found = backgrounds_of_series(first, iter(pairs))
        assert all((background.level == found[0].level).all() for background in found)
        assert [b.offset for b in found] == [background_of_pair(pair).offset for pair in pairs]
        alone.append(np.abs(background_of_pair(pairs[0]).level - 0.1).mean())
        together.append(np.abs(found[0].level - 0.1).mean())
    assert np.mean(together) < 0.75 * np.mean(alone)


def test_frames_without_structure_have_a_level():
    pair = AlignedPair.from_frames(*np.full((2, 20, 30), 3.0, dtype="float32"))
    for found in (background_of_pair(pair), *backgrounds_of_series(pair.first, [pair, pair])):
        np.testing.assert_array_equal(found.level, 3)
        assert found.offset == 0


@pytest.mark.parametrize("missing", [40, 80])
def test_pixels_outside_the_overlap_have_no_influence_on_the_background(missing):
    first, second = (frame + np.float32(0.3) for frame in faded_pair(kind="perlin"))
    overlap = np.ones(SHAPE)
    overlap[:, :missing] = 0
    second[:, :missing] = 3 * first[:, :missing][::-1]
    found = background_of_pair(AlignedPair.from_frames(first, second, overlap))
    assert found.offset == 0
    assert np.abs(found.level - 0.3)[:, missing:].mean() < 0.1 * first.std()


def test_the_level_is_the_mean_intensity_unless_frames_tell_more():
    first = np.random.default_rng(0).normal(5, 1, (40, 50)).astype("float32")
    nothing = np.zeros(first.shape)
    level = _smooth_level(first, 1.0, nothing, nothing)
    np.testing.assert_allclose(level, first.mean(), rtol=1e-5)
    levels = []
    for information in (1e-7, 1e-4, 1.0):
        even = np.full(first.shape, information)
        levels.append(_smooth_level(first, 1.0, even, 2 * even).mean())
    assert first.mean() > levels[0] > levels[1] > levels[2] > 1.99
    np.testing.assert_allclose(levels[2], 2, rtol=0.01)
    # Mean and level are weighted by their precision: that of the mean is 1 / (3 contrast)^2.
    even = np.full(first.shape, 1e-7)
    total, prior = even.sum(), 3.0**-2
    expected = (2 * total + prior * first.mean()) / (total + prior)
    assert levels[0] == pytest.approx(expected, rel=1e-3)


def test_the_coefficient_of_the_first_term_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    terms = rng.normal(size=(3, 5, 60)) + np.arange(5)[:, None]
    response = rng.normal(size=(3, 60))
    values = np.concatenate([terms, response[:, None]], axis=1)
    found = _first_coefficient(values @ values.transpose(0, 2, 1))
    for coefficient, t, r in zip(found, terms, response, strict=True):
        assert coefficient == pytest.approx(np.linalg.lstsq(t.T, r)[0][0])
    # A term that the others explain has no coefficient of its own.
    terms[0, 0] = 2 * terms[0, 1] - terms[0, 3]
    values = np.concatenate([terms, response[:, None]], axis=1)
    assert _first_coefficient(values @ values.transpose(0, 2, 1))[0] == 0


def uneven_damage(shape=(96, 112), seed=0):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 9)
    return 0.5 + 0.15 * noise / noise.std()


@pytest.mark.parametrize("offset, kept", [(0.5, True), (-0.3, True), (0.12, True), (0.09, False)])
def test_an_offset_of_a_tenth_of_the_contrast_is_kept(offset, kept):
    damage = uneven_damage()
    y, x = (np.linspace(-1, 1, side) for side in damage.shape)
    # The level is any quadratic polynomial of the position.
    level = (
        2 + 0.3 * y[:, None] - 0.5 * x + 0.2 * np.outer(y, x) + 0.4 * x**2 - 0.1 * y[:, None] ** 2
    )
    weight = np.random.default_rng(1).uniform(0.5, 2, damage.shape)
    response = damage * level + offset
    found = _fit_offset(weight, damage, np.zeros_like(damage), response, 1.0)
    assert found == pytest.approx(offset if kept else 0, abs=1e-6)
    # In another unit.
    found = _fit_offset(weight, damage, np.zeros_like(damage), 50 * response, 50.0)
    assert found == pytest.approx(50 * offset if kept else 0, abs=1e-4)


@pytest.mark.parametrize("noise, kept", [(0.02, True), (3.0, False)])
def test_an_offset_within_its_error_is_none(noise, kept):
    damage, rng = uneven_damage(), np.random.default_rng(2)
    response = 2 * damage + 0.3 + noise * rng.normal(size=damage.shape)
    found = _fit_offset(np.ones_like(damage), damage, np.zeros_like(damage), response, 1.0)
    assert (abs(found - 0.3) < 0.1) == kept
    assert (found == 0) == (not kept)


@pytest.mark.parametrize("variation, kept", [(0.3, True), (0.003, False)])
def test_an_offset_is_told_from_damage_that_varies_by_more_than_its_noise(variation, kept):
    damage = 0.5 + variation * (uneven_damage() - 0.5)
    variance = np.full(damage.shape, 0.01**2)
    response = 2 * damage + 0.3
    found = _fit_offset(np.ones_like(damage), damage, variance, response, 1.0)
    assert found == pytest.approx(0.3 if kept else 0, abs=1e-3)
