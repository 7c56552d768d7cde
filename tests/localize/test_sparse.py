"""Few atoms among the maxima of noise or of a film."""

import warnings

import numpy as np
import pytest
from scipy import ndimage

from stemkit.exceptions import OutOfDomainWarning
from stemkit.localize import AtomLocator
from stemkit.localize._peaks import atom_response
from stemkit.localize._sparse import (
    LocalThreshold,
    examine,
    local_spread,
    maxima,
    significance,
    size_of_few,
    split,
)
from stemkit.metrics import atom_score

from .drawn_atoms import crowd, draw


def film(sigma, n=30, side=240, seed=0):
    """Return places of atoms, and a frame of them on a film of grains of about their size."""
    rng = np.random.default_rng(seed)
    grains = ndimage.gaussian_filter(rng.normal(size=(side, side)), 1.1 * sigma)
    index = rng.choice(64, n, replace=False)
    places = (np.stack(np.divmod(index, 8), 1) + 0.5) * side / 8 + rng.uniform(-5, 5, (n, 2))
    atoms = draw((side, side), places, 5.5 * (1 + 0.1 * rng.normal(size=n)), sigma)
    return places, atoms + grains / grains.std() + 0.4 * rng.normal(size=(side, side))


def vacuum(kind, side=192, seed=0):
    rng = np.random.default_rng(seed)
    white = rng.normal(size=(side, side))
    return {
        "white": lambda: white,
        "shared": lambda: ndimage.gaussian_filter(white, 0.7),
        "upsampled": lambda: ndimage.zoom(white[::2, ::2], 2, order=1),
        "rows": lambda: white + rng.normal(size=(side, 1)),
        "gradient": lambda: white + np.linspace(0, 30, side),
        "changing": lambda: white * np.linspace(0.5, 3, side),
        "counts": lambda: rng.poisson(3, (side, side)),
    }[kind]()


@pytest.mark.filterwarnings("ignore::stemkit.exceptions.OutOfDomainWarning")
@pytest.mark.parametrize(
    "kind", ["white", "shared", "upsampled", "rows", "gradient", "changing", "counts"]
)
def test_a_frame_without_atoms_holds_at_most_one(kind):
    frame = vacuum(kind)[np.newaxis]
    assert len(AtomLocator().fit(frame).predict(frame)) <= 1


@pytest.mark.filterwarnings("ignore::stemkit.exceptions.OutOfDomainWarning")
@pytest.mark.parametrize("sigma", [1.5, 2.5])
@pytest.mark.parametrize("gain, offset", [(1, 0), (1e4, 5e5)])
def test_atoms_on_a_film_are_told_from_its_grains(sigma, gain, offset):
    places, frame = film(sigma)
    frame = (gain * frame + offset)[np.newaxis]
    locator = AtomLocator().fit(frame)
    assert locator.sigma_ == pytest.approx(sigma, rel=0.25)
    score = atom_score(places, locator.predict(frame)[["y", "x"]], tolerance=sigma)
    assert score.precision > 0.85
    assert score.recall > 0.7


def test_the_threshold_follows_the_noise_across_the_frame():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(200, 200)) * np.linspace(0.5, 3, 200)
    spread = local_spread(atom_response(noise, 1.5), 1.5)
    expected = atom_response(rng.normal(size=(200, 200)), 1.5).std() * np.linspace(0.5, 3, 200)
    np.testing.assert_allclose(spread[:, 30:-30].mean(0), expected[30:-30], rtol=0.1)
    limit = LocalThreshold(4.0, least=1.0).over(noise, 1.5)
    np.testing.assert_allclose(limit, np.maximum(4 * spread, 1), atol=0.05)


def test_few_high_atoms_hardly_change_the_spread_of_most_places():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(200, 200))
    places = rng.uniform(10, 190, (12, 2))
    alone, among = (
        local_spread(atom_response(frame, 1.5), 1.5)
        for frame in (noise, noise + draw((200, 200), places, 30, 1.5))
    )
    assert np.median(among / alone) == pytest.approx(1, abs=0.1)


def test_the_law_of_noise_expects_as_many_maxima_as_there_are():
    counts = []
    for seed in range(8):
        frame = np.random.default_rng(seed).normal(size=(256, 256))
        heights = maxima(significance(frame, 1.5)[0])
        threshold, law = split(heights)
        assert law.above(threshold) < 1
        counts.append((law.above(3.0), np.sum(heights > 3)))
    expected, found = np.sum(counts, axis=0)
    assert 0.6 * found < expected < 1.6 * found


def test_atoms_are_split_from_the_noise_between_the_populations():
    rng = np.random.default_rng(0)
    noise, atoms = np.sqrt(2 * rng.exponential(size=3000)), rng.normal(7, 0.7, 80)
    threshold, law = split(np.sort(np.concatenate([noise, atoms])))
    assert 3.5 < threshold < 5.5
    assert law.scale == pytest.approx(2, rel=0.15)


def test_kinds_of_frames_are_told_apart():
    assert tuple(examine(vacuum("white"), 1.5)) == (True, False)
    assert tuple(examine(vacuum("shared"), 1.5)) == (True, True)
    assert tuple(examine(film(2.0)[1], 2.0)) == (True, True)
    for distance, noise in ((4.5, 4.0), (4.5, 12.0), (6.0, 4.0)):
        frame = crowd(shape=(160, 160), distance=distance, noise=noise)[1]
        assert not examine(frame - np.median(frame), 1.5).sparse
    y, x = np.indices((160, 160))
    lattice = np.cos(2 * np.pi * (0.8 * y + 0.6 * x) / 6) + np.cos(
        2 * np.pi * (0.6 * y - 0.8 * x) / 6
    )
    noisy = lattice + np.random.default_rng(0).normal(0, 2, lattice.shape)
    assert not examine(noisy, 1.5).sparse


def test_the_size_is_that_of_the_atoms():
    rng = np.random.default_rng(0)
    shared = ndimage.gaussian_filter(rng.normal(size=(240, 240)), 0.7)
    places = rng.uniform(15, 225, (25, 2))
    sigmas = np.geomspace(0.8, 10, 14)
    frame = shared / shared.std() + draw((240, 240), places, 8, 2.2)
    assert size_of_few([frame], sigmas) == pytest.approx(2.2, rel=0.1)
    assert size_of_few([shared], sigmas) is None


def test_it_says_that_pixels_share_noise():
    with pytest.warns(OutOfDomainWarning, match="share noise"):
        AtomLocator().fit(vacuum("shared")[np.newaxis])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AtomLocator().fit(vacuum("white")[np.newaxis])
