"""Tests of finding and filling pixels that do not show the specimen."""

import numpy as np
import pytest
from scipy import ndimage

from stemkit._bad_pixels import (
    fill,
    find_fixed,
    find_lines,
    find_marks,
    find_spikes,
)
from stemkit.datasets import make_scene
from stemkit.degradation import degrade
from stemkit.io import read_stack

SIDE = 128


def atoms(n, sigma, peak, background, seed=0):
    """Return the expected counts of Gaussian atoms anywhere, and their nearest pixels."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(4, SIDE - 4, (n, 2))
    y, x = np.indices((SIDE, SIDE))
    frame = np.full((SIDE, SIDE), float(background))
    for row, column in centers:
        frame += peak * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
    return frame, np.rint(centers).astype(int)


def counts(expected, seed=0):
    return np.random.default_rng(seed).poisson(expected).astype("float32")


@pytest.mark.parametrize("sigma", [0.8, 1.0, 1.5, 4.0])
@pytest.mark.parametrize("peak", [3, 10, 100, 1000, 30_000])
@pytest.mark.parametrize("background", [0, 0.3, 3, 100])
def test_atoms_of_any_size_and_dose_stay(sigma, peak, background):
    touched = 0
    for seed, n in enumerate((1, 30, 150, 400)):
        expected, _ = atoms(n, sigma, peak, background, seed)
        touched += np.count_nonzero(find_spikes(counts(expected, seed)))
    # No atom at 100 counts is changed, and few of 581 where single electrons decide.
    assert touched <= (0 if peak >= 100 else 6)


@pytest.mark.parametrize("level", [5, 50])
@pytest.mark.parametrize("peak, background", [(3, 0.3), (10, 3), (100, 20), (1000, 100)])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_stuck_pixels_are_found_and_nothing_else(peak, background, level, scale):
    expected, _ = atoms(100, 1.5, peak, background)
    frame = counts(expected)
    y, x = np.random.default_rng(1).integers(2, SIDE - 2, (2, 20))
    stuck = np.zeros(frame.shape, bool)
    stuck[y, x] = True
    frame[stuck] = level * frame.max()
    found = find_spikes(frame * np.float32(scale) - np.float32(3 * scale))
    np.testing.assert_array_equal(found, stuck)


def test_two_adjacent_pixels_are_found():
    frame = counts(atoms(100, 1.5, 50, 10)[0])
    frame[50, 60:62] = frame[80:82, 20] = 4000
    found = find_spikes(frame)
    assert found[50, 60:62].all()
    assert found[80:82, 20].all()
    assert found.sum() == 4


def test_a_dead_pixel_in_the_light_is_found():
    frame = counts(atoms(100, 1.5, 50, 200)[0])
    frame[50, 60] = 0
    assert np.argwhere(find_spikes(frame)).tolist() == [[50, 60]]


@pytest.mark.parametrize("content", ["perfect", "aperiodic"])
def test_lattices_in_noise_have_no_bad_pixels(content):
    scene = make_scene((SIDE, SIDE), content=content, random_state=0)
    frame, _ = degrade(scene, (SIDE, SIDE))
    for dose in (1, 10, 1000):
        noisy = counts(dose * frame)
        assert not find_spikes(noisy).any()
        assert not find_lines(noisy).any()
    assert not find_spikes(frame).any()


def test_real_frames_have_no_bad_pixels(shared_data):
    for path in (
        *sorted((shared_data / "formats").iterdir()),
        *sorted((shared_data / "ptnc").glob("04*.tif")),
        shared_data / "mos2" / "MoS2_stem_Exp-001-5.npy",
    ):
        if path.suffix in (".dm3", ".dm4", ".ser", ".emd", ".hspy"):
            pytest.importorskip("rsciio", reason="needs the extra stemkit[formats]")
        for frame in np.asarray(read_stack(path), dtype="float32"):
            assert not find_spikes(frame).any(), path.name
            assert not find_lines(frame).any(), path.name


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (2, 2), (3, 3), (5, 17)])
@pytest.mark.parametrize("value", [0.0, 7.0, -3e38])
def test_constant_frames_have_no_bad_pixels(shape, value):
    frame = np.full(shape, value, "float32")
    assert not find_spikes(frame).any()
    assert not find_lines(frame).any()
    assert not find_fixed(np.stack([frame] * 3)).any()


@pytest.mark.parametrize("value", [0, 255, 65535])
def test_lines_are_found(value):
    expected, _ = atoms(100, 1.5, 100, 50)
    frame = counts(expected)
    frame[70], frame[:, 90] = value, value
    found = find_lines(frame)
    assert found[70].all()
    assert found[:, 90].all()
    assert found.sum() == 2 * SIDE - 1


def test_fixed_pixels_are_found_below_the_noise_of_a_frame():
    frames = np.stack([counts(np.roll(atoms(60, 2, 20, 20)[0], 3 * i, 1), i) for i in range(12)])
    frames[:, 40, 50] += 30
    assert not any(find_spikes(frame)[40, 50] for frame in frames)
    assert np.argwhere(find_fixed(frames)).tolist() == [[40, 50]]
    assert not find_fixed(frames[:2]).any()


@pytest.mark.parametrize("n_frames", [3, 8, 24])
def test_no_fixed_pixel_is_lost_where_few_are_looked_at_closely(n_frames, monkeypatch):
    rng = np.random.default_rng(0)
    expected, _ = atoms(60, 1.5, 60, 20)
    frames = np.stack([counts(np.roll(expected, 2 * i, 1), i) for i in range(n_frames)])
    y, x = rng.integers(0, SIDE, (2, 60))
    # The weakest that can be found, and weaker ones.
    height = 8 * np.sqrt(20 / n_frames) * rng.uniform(0.8, 3, 60)
    frames[:, y, x] += (height * rng.choice((-1, 1), 60)).astype(frames.dtype)
    found = find_fixed(frames)
    everywhere = np.ones(found.shape, bool)
    monkeypatch.setattr("stemkit._bad_pixels._often_sharp", lambda *_: everywhere)
    complete = find_fixed(frames)
    assert 10 < complete.sum() < 60
    np.testing.assert_array_equal(found, complete)


def test_atoms_that_do_not_move_are_not_fixed_pixels():
    expected, _ = atoms(60, 0.8, 100, 3)
    assert not find_fixed(np.stack([counts(expected, i) for i in range(8)])).any()


@pytest.mark.parametrize("dtype, mark", [("u2", 65535), (">u2", 65535), ("u4", 2**32 - 1)])
def test_marks_of_detectors_are_found_before_rounding(dtype, mark):
    frames = np.full((2, 20, 20), mark // 2, dtype)
    frames[1, 3, 4] = mark
    assert np.argwhere(find_marks(frames)).tolist() == [[1, 3, 4]]
    frames[0, :5] = mark  # a saturated region
    assert np.argwhere(find_marks(frames)).tolist() == [[1, 3, 4]]
    frames[0, 3:5] = mark // 2 + 1  # the brightest atom of an image that fills the range
    assert np.argwhere(find_marks(frames)).tolist() == [[1, 3, 4]]
    assert not find_marks(frames.astype("f4")).any()
    assert not find_marks(np.full((1, 4, 4), 255, "u1")).any()


def test_filling_takes_sound_neighbours_alone():
    y, x = np.indices((30, 40))
    ramp = (3 * y + 2 * x + 5).astype("float32")
    bad = np.zeros(ramp.shape, bool)
    bad[10, 10] = bad[20, 5:9] = bad[:, 30] = True
    bad[5:9, 15:19] = True
    frame = np.where(bad, np.float32(np.nan), ramp)
    frame[10, 10] = 1e30
    filled = fill(frame, bad)
    np.testing.assert_array_equal(filled[~bad], ramp[~bad])
    inner = ndimage.binary_erosion(np.ones(ramp.shape, bool), iterations=3)
    np.testing.assert_allclose(filled[inner], ramp[inner], atol=3.5)
    assert abs(filled[10, 10] - ramp[10, 10]) < 1e-3


def test_one_sound_pixel_fills_a_frame():
    bad = np.ones((20, 30), bool)
    bad[3, 4] = False
    np.testing.assert_allclose(fill(np.full((20, 30), 7, "float32"), bad), 7, rtol=1e-5)
