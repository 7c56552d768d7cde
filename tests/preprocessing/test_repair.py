"""Tests of the repair of frames as instruments record them."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from stemkit import DriftDecayModel
from stemkit.datasets import make_damage_sequence
from stemkit.denoise import GaussianDenoiser
from stemkit.io import FrameStack
from stemkit.preprocessing import BadPixelRepair
from stemkit.registration import register


@pytest.fixture(scope="module")
def frames():
    data = make_damage_sequence(n_frames=5, shape=(96, 112), dose=60, random_state=0)
    return (data.frames * 60).round().astype("uint16")


def spoil(frames, value, n=5, seed=0):
    """Set the same pixels of all frames to a value."""
    where = np.random.default_rng(seed).integers(2, 90, (2, n))
    stuck = np.zeros(frames.shape[1:], bool)
    stuck[tuple(where)] = True
    spoilt = frames.copy()
    spoilt[:, stuck] = value
    return spoilt, stuck


def test_clean_frames_are_not_changed(frames):
    repair = BadPixelRepair().fit(frames)
    assert not repair.mask_.any()
    assert not repair.find(frames).any()
    np.testing.assert_array_equal(repair.transform(frames), frames)
    np.testing.assert_array_equal(BadPixelRepair().transform(frames), frames)


@pytest.mark.parametrize("value", [4095, 30_000, 65535])
@pytest.mark.parametrize("fitted", [True, False])
def test_stuck_pixels_are_filled(frames, value, fitted):
    spoilt, stuck = spoil(frames, value)
    repair = BadPixelRepair()
    if fitted:
        repair.fit(spoilt)
        np.testing.assert_array_equal(repair.mask_, stuck)
    np.testing.assert_array_equal(repair.find(spoilt), np.broadcast_to(stuck, frames.shape))
    repaired = repair.transform(spoilt)
    np.testing.assert_array_equal(repaired[:, ~stuck], frames[:, ~stuck])
    assert repaired.max() <= frames.max()


def test_the_drift_of_frames_with_stuck_pixels_is_that_of_the_clean_ones():
    field = make_damage_sequence(n_frames=2, shape=(160, 160), random_state=0).frames[0]
    rng = np.random.default_rng(0)
    pair = rng.poisson(60 * np.stack([field[20:148, 10:138], field[12:140, 15:143]]))
    spoilt, _ = spoil(pair.astype("float32"), 50 * pair.max())
    clean = register(*pair).motion.drift
    np.testing.assert_allclose(clean, (8, -5), atol=0.2)
    # The pixels that stay are a motion of their own, at zero.
    unrepaired = register(*spoilt, bad_pixels=None)
    drifts = [motion.drift for motion, _ in unrepaired.candidates]
    assert min(np.abs(drift).max() for drift in drifts) < 1
    repaired = BadPixelRepair().transform(spoilt)
    np.testing.assert_allclose(register(*repaired).motion.drift, clean, atol=0.05)


def test_spikes_of_one_frame_are_filled_in_this_frame(frames):
    spoilt = frames.copy()
    spoilt[2, 40, 50] = 9000
    repair = BadPixelRepair().fit(spoilt)
    assert not repair.mask_.any()
    assert np.argwhere(repair.find(spoilt)).tolist() == [[2, 40, 50]]
    assert BadPixelRepair(spikes=False).find(spoilt).sum() == 0


def test_lines_are_filled(frames):
    spoilt = frames + np.uint16(100)
    spoilt[:, :, 70] = spoilt[3, 20] = 0
    found = BadPixelRepair().find(spoilt)
    assert found[:, :, 70].all()
    assert found[3, 20].all()
    assert found.sum() == 5 * 96 + 112 - 1
    assert BadPixelRepair(lines=False, spikes=False).find(spoilt).sum() == 0


def test_frames_of_another_size_are_repaired_one_by_one(frames):
    spoilt, stuck = spoil(frames, 65535)
    repair = BadPixelRepair().fit(spoilt)
    found = repair.find(spoilt[:, :80, :80])
    np.testing.assert_array_equal(found, np.broadcast_to(stuck[:80, :80], found.shape))


def test_a_frame_stack_keeps_what_it_knows_but_its_mask(frames):
    spoilt, stuck = spoil(frames, 65535)
    missing = np.zeros(frames.shape, bool)
    missing[0, 0, 0] = True
    names = tuple("abcde")
    repaired = BadPixelRepair().fit_transform(FrameStack(spoilt, 0.02, names, mask=missing))
    assert (repaired.pixel_size, repaired.names) == (0.02, names)
    assert repaired.mask is None
    spoilt_stack = FrameStack(spoilt, mask=missing)
    np.testing.assert_array_equal(BadPixelRepair().find(spoilt_stack), stuck | missing)
    assert np.asarray(repaired).max() <= frames.max()


def test_it_stands_before_any_estimator(frames):
    spoilt, _ = spoil(frames, 30_000)
    pipe = make_pipeline(BadPixelRepair(), GaussianDenoiser(sigma=1)).fit(spoilt)
    expected = GaussianDenoiser(sigma=1).fit(frames).transform(frames)
    assert np.abs(pipe.transform(spoilt) - expected).max() < 0.25 * np.ptp(frames)
    model = DriftDecayModel(max_epochs=0, motion="translation")
    table = model.trajectory(BadPixelRepair().fit_transform(spoilt))
    clean = model.trajectory(frames)
    np.testing.assert_allclose(table[["dy", "dx"]], clean[["dy", "dx"]], atol=0.05)


def test_a_frame_without_any_sound_pixel_is_left_as_it_is():
    frames = np.full((2, 20, 20), 65535, "uint16")
    np.testing.assert_array_equal(BadPixelRepair().transform(frames), frames)


@pytest.mark.parametrize("options", [{"spikes": 1}, {"lines": "no"}])
def test_wrong_parameters_are_named(frames, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be True or False"):
        BadPixelRepair(**options).fit(frames)
