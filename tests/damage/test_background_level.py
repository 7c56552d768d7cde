import numpy as np
import pytest
from scipy import ndimage

from stemkit._scene import render_columns
from stemkit.damage._background_level import (
    LOW_CUT,
    common_level,
    ground_of,
    noise_of,
    smooth,
    template,
)
from stemkit.datasets import make_scene
from stemkit.degradation import damage_pattern, degrade, record

SHAPE = (160, 176)


def faded_pair(*, strength=0.9, amorphous=0.0, seed=0, kind="gaussian"):
    scene = make_scene(SHAPE, content="perfect", spacing=(9, 14), random_state=seed)
    damage = damage_pattern(kind, SHAPE, random_state=seed)
    second, _ = degrade(scene, SHAPE, damage=damage, strength=strength, amorphous=amorphous)
    return render_columns(scene, SHAPE), second


@pytest.mark.parametrize("dose", [None, 10.0])
@pytest.mark.parametrize("kind", ["gaussian", "perlin"])
@pytest.mark.parametrize("background", [0.0, 0.3])
def test_even_film_is_found_without_a_dark_place(background, kind, dose):
    # Film that veils wherever there was none to see: columns' tails leave no pixel dark.
    rng = np.random.default_rng(0)
    pair = [
        record(f, dose=dose, background=background, random_state=rng) for f in faded_pair(kind=kind)
    ]
    ground = ground_of(*pair)
    contrast = pair[0].std()
    assert ground.offset == 0
    assert np.abs(ground.level - background).mean() < 0.15 * contrast


@pytest.mark.parametrize("amorphous", [0.5, 1.0])
def test_amorphised_matter_belongs_to_the_ground(amorphous):
    first, second = faded_pair(amorphous=amorphous)
    level = ground_of(first, second).level
    assert level.mean() == pytest.approx(amorphous * first.mean(), abs=0.1 * float(first.std()))


def test_film_that_varies_is_followed():
    first, second = faded_pair(kind="perlin")
    x = np.arange(SHAPE[1])
    film = (0.3 + 0.1 * np.sin(2 * np.pi * x / 150)) * np.ones(SHAPE)
    level = ground_of(*((f + film).astype("float32") for f in (first, second))).level
    assert np.corrcoef(level.ravel(), film.ravel())[0, 1] > 0.9
    assert np.abs(level - film).mean() < 0.03


@pytest.mark.parametrize("offset", [-0.1, 0.15])
def test_an_offset_between_the_frames_is_told_from_the_ground(offset):
    rng = np.random.default_rng(1)
    first, second = faded_pair(kind="perlin")
    first = record(first, dose=30, background=0.3, random_state=rng)
    second = record(second, dose=30, background=0.3 + offset, random_state=rng)
    ground = ground_of(first, second)
    assert ground.offset == pytest.approx(offset, abs=0.03)
    assert ground.level.mean() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("seed", [0, 1, 3, 4])
def test_a_wedge_that_turns_amorphous_from_its_thin_side_has_no_offset(seed):
    # Ground and damage both follow the thickness: one level for all would leave an offset.
    rng = np.random.default_rng(seed)
    scene = make_scene(SHAPE, content="perfect", spacing=(9, 14), random_state=seed)
    y, x = np.indices(SHAPE)
    uneven = damage_pattern("perlin", SHAPE, cell=50, random_state=seed)(y, x) - 0.5
    thickness = 0.3 + 1.5 * x / SHAPE[1]
    decay = 1 - 0.85 * np.exp(-2 * (x / SHAPE[1] + 0.6 * uneven).clip(0))
    lattice = render_columns(scene, SHAPE)
    # What is no crystal any more scatters as much as it did, only evenly.
    pair = [
        record(thickness * signal, dose=10, background=0.2, random_state=rng)
        for signal in (lattice, decay * lattice + (1 - decay) * lattice.mean())
    ]
    assert ground_of(*pair).offset == 0


def test_a_series_knows_the_ground_better_than_its_first_pair():
    alone, together = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        frames = [
            record(faded_pair(strength=s, seed=seed)[1], dose=10, background=0.1, random_state=rng)
            for s in (0, 0.15, 0.5, 0.9)
        ]
        grounds = [ground_of(frames[0], frame) for frame in frames[1:]]
        level = common_level(frames[0], iter(grounds))
        assert (ground_of(frames[0], frames[1], level=level).level == level).all()
        alone.append(np.abs(grounds[0].level - 0.1).mean())
        together.append(np.abs(level - 0.1).mean())
    assert np.mean(together) < 0.75 * np.mean(alone)


def test_noise_is_the_variance_of_shot_noise():
    first, second = faded_pair()
    rng = np.random.default_rng(2)
    pair = [record(f, dose=10, background=0.1, random_state=rng) for f in (first, second)]
    for frame, clean in zip(pair, (first, second), strict=True):
        assert noise_of(frame, frame - smooth(frame, LOW_CUT)).mean() == pytest.approx(
            (clean + 0.1).mean() / 10, rel=0.1
        )


def test_frames_without_structure_have_a_ground():
    flat = np.full((20, 30), 3.0, dtype="float32")
    ground = ground_of(flat, flat)
    np.testing.assert_array_equal(ground.level, 3)
    assert ground.offset == 0
    np.testing.assert_array_equal(common_level(flat, [ground, ground]), 3)


def test_template_knows_nothing_of_its_own_row():
    frame = np.random.default_rng(0).random((20, 20)).astype("float32")
    other = frame.copy()
    other[7] = 0
    np.testing.assert_array_equal(template(frame)[7], template(other)[7])
    assert (template(frame)[6] != template(other)[6]).any()
    np.testing.assert_allclose(template(np.ones_like(frame)), 1, atol=1e-6)


@pytest.mark.parametrize("sigma", [1.5, 6.0, 24.0])
@pytest.mark.parametrize("shape", [(40, 57), (1, 30), (96, 96)])
def test_smoothing_is_a_gaussian_filter(shape, sigma):
    values = np.random.default_rng(0).random(shape).astype("float32")
    expected = ndimage.gaussian_filter(values, sigma, mode="reflect", truncate=8)
    smoothed = smooth(values, sigma)
    assert smoothed.dtype == np.float32
    np.testing.assert_allclose(smoothed, expected, atol=2e-4)
