"""A bright part of the frames that moves otherwise than the rest."""

import numpy as np
import pytest
from scipy import ndimage

from stemkit.registration import Motion, Registration, register
from stemkit.registration._majority import follow_majority, limit_contrast
from stemkit.registration._refinement import prepare

SIDE = 128


def frames_of(film, particle, *, brightness, radius=14, seed=0):
    """Return two frames of a film and of a particle on it, which move by these drifts."""
    rng = np.random.default_rng(seed)
    shape = (SIDE + 80, SIDE + 80)
    texture, inside = (ndimage.gaussian_filter(rng.normal(size=shape), s) for s in (1.5, 2))
    y, x = np.indices(shape) - shape[0] / 2
    disc = 1 / (1 + np.exp((np.hypot(y, x) - radius) / 1.5))
    disc *= brightness * (1 + 0.3 * inside / inside.std())
    frames = []
    for moved in (False, True):
        shifts = (film, particle) if moved else ((0, 0), (0, 0))
        image = 1 + 0.25 * ndimage.shift(texture / texture.std(), shifts[0], mode="mirror")
        image += ndimage.shift(disc, shifts[1])
        frames.append(rng.poisson(20 * image[40:-40, 40:-40].clip(0)))
    return frames


@pytest.mark.parametrize("brightness", [5, 20])
@pytest.mark.parametrize(
    "film, particle", [((0, 0), (9, -7)), ((6, 5), (0, 0)), ((-4, 8), (7, -3))]
)
def test_the_film_is_followed_and_the_particle_is_a_candidate(film, particle, brightness):
    found = register(*frames_of(film, particle, brightness=brightness), motion="rigid")
    np.testing.assert_allclose(found.motion.drift, film, atol=0.4)
    assert found.confidence > 0.5
    drifts = np.array([motion.drift for motion, _ in found.candidates])
    assert np.hypot(*(drifts - particle).T).min() < 1
    weights = [weight for _, weight in found.candidates]
    assert sum(weights) == pytest.approx(1)
    assert found.candidates[0][0] is found.motion


def test_a_particle_that_moves_with_the_film_changes_nothing():
    found = register(*frames_of((5, -3), (5, -3), brightness=20), motion="rigid")
    np.testing.assert_allclose(found.motion.drift, (5, -3), atol=0.2)
    assert found.confidence > 0.9


def _single(drift, confidence):
    motion = Motion((SIDE, SIDE), drift)
    return Registration(motion, confidence, ((motion, 1.0),), 0.9)


def test_the_motion_of_more_places_is_preferred():
    film, particle = (6, 5), (0, 0)
    frames = [
        prepare((f - f.mean()).astype("f4"))
        for f in map(limit_contrast, np.array(frames_of(film, particle, brightness=5), "f4"))
    ]
    of_film, of_particle = _single(film, 0.9), _single(particle, 0.9)
    for found, other in ((of_film, of_particle), (of_particle, of_film)):
        chosen = follow_majority(found, other, frames, 1)
        assert chosen.motion is of_film.motion
        assert 0.5 < chosen.confidence < 0.9
        assert [motion for motion, _ in chosen.candidates][1] is of_particle.motion
    # A doubtful motion, or the same one, is no alternative.
    assert follow_majority(of_particle, _single(film, 0.3), frames, 1) is of_particle
    assert follow_majority(of_film, _single((7, 6), 0.9), frames, 1) is of_film


def test_intensities_that_stand_out_are_limited():
    rng = np.random.default_rng(0)
    frame = rng.normal(10, 2, (64, 64)).astype("f4")
    frame[20:30, 20:30] = 1000
    limited = limit_contrast(frame)
    assert limited.max() == pytest.approx(10 + 4 * 2, rel=0.05)
    inside = np.abs(frame - 10) < 6
    np.testing.assert_array_equal(limited[inside], frame[inside])
    assert limit_contrast(np.where(frame > 100, frame, 0)) is None
