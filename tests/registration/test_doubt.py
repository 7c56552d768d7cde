"""What warnings say of frames whose drift is not determined."""

import numpy as np
import pytest

from stemkit.datasets import make_drift_pairs, make_scene
from stemkit.degradation import degrade, record
from stemkit.registration import Motion, register
from stemkit.registration._doubt import explain, has_structure
from stemkit.registration._search_limits import SearchLimits

SHAPE = (128, 128)


def reason(first, second, **options):
    frames = np.stack([first, second]).astype("float32")
    found = register(*frames, bad_pixels=None, **options)
    assert found.confidence < 0.5
    return explain(frames, (None, None), found, SearchLimits())


def moved(**motion):
    scene = make_scene(SHAPE, margin=0.3, random_state=3)
    expected = Motion.from_parameters(SHAPE, drift=(5, -8), **motion)
    rng = np.random.default_rng(0)
    return [
        record(degrade(scene, SHAPE, motion=m)[0], dose=50, background=0.1, random_state=rng)
        for m in (None, expected)
    ]


@pytest.mark.parametrize("degrees", [-12, 90])
def test_a_rotation_beyond_the_limit_is_named_with_its_parameter(degrees):
    said = reason(*moved(rotation=np.deg2rad(degrees)))
    assert f"about {abs(degrees)} degrees" in said
    assert "`max_rotation`" in said


def test_another_magnification_is_named_with_its_parameter():
    said = reason(*moved(scale=1.12, stretch=0.12))
    assert "`scale`" in said


def test_a_lattice_is_named_with_the_vector_between_its_candidates():
    y, x = np.indices(SHAPE)
    rng = np.random.default_rng(0)
    waves = [(1 + np.cos(np.pi * (x - s) / 9)) * (1 + np.cos(np.pi * y / 9)) for s in (0, 4)]
    said = reason(*[rng.poisson(20 * wave + 1) for wave in waves], motion="translation")
    assert "lattice vector apart" in said
    assert "`max_step`" in said


def test_frames_without_structure_or_without_overlap_are_told_apart():
    rng = np.random.default_rng(0)
    assert "no structure" in reason(*rng.poisson(20, (2, *SHAPE)))
    pairs = make_drift_pairs(1, shape=(128, 384), random_state=5, dose=10.0).pairs[0]
    assert "no overlap" in reason(pairs[0][:, :128], pairs[1][:, 256:])


def test_a_blank_frame_is_named_by_its_place():
    noise = np.random.default_rng(0).poisson(20, SHAPE)
    assert reason(noise, np.full(SHAPE, 7)).startswith("the second of them is blank")


def test_structure_is_more_than_white_noise():
    rng = np.random.default_rng(0)
    assert not any(has_structure(rng.poisson(5, SHAPE).astype("f4")) for _ in range(20))
    frame = moved()[0].astype("f4")
    assert has_structure(frame)
    assert not has_structure(np.full(SHAPE, 3, "f4"))
