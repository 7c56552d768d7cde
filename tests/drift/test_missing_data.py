"""Series in which parts of frames hold no data."""

import warnings

import numpy as np
import pytest

from stemkit import DriftDecayModel
from stemkit.datasets import make_scene
from stemkit.degradation import damage_pattern, degrade, record
from stemkit.exceptions import BadPixelWarning
from stemkit.registration import Motion

pytestmark = pytest.mark.filterwarnings("ignore::stemkit.exceptions.BadPixelWarning")
SHAPE = (160, 160)


DRIFTS = [(0, 0), (4, -3), (8, -6)]


@pytest.fixture(scope="module")
def frames():
    scene = make_scene(SHAPE, random_state=3)
    hole = damage_pattern("gaussian", SHAPE, center=(50, 60))
    return np.stack(
        [
            record(
                degrade(scene, SHAPE, motion=Motion(SHAPE, drift), damage=hole, strength=0.3 * i)[
                    0
                ],
                dose=100,
                background=0.1,
                random_state=i,
            )
            for i, drift in enumerate(DRIFTS)
        ]
    ).astype("f4")


@pytest.fixture(scope="module")
def model():
    return DriftDecayModel(motion="translation", binning=2)


@pytest.fixture(scope="module")
def whole(model, frames):
    return model.analyze(frames)


def cut(frames, kind):
    frames = frames.copy()
    if kind == "stopped":
        frames[2, 80:] = 0
    elif kind == "first stopped":
        frames[0, 90:] = 0
    else:
        frames[:, 50:90, 60:110] = np.nan
    return frames


@pytest.mark.parametrize("kind", ["stopped", "first stopped", "masked"])
def test_drift_and_damage_are_those_of_the_recorded_part(model, frames, whole, kind):
    path, decay = model.analyze(cut(frames, kind))
    np.testing.assert_allclose(path[["dy", "dx"]], whole.trajectory[["dy", "dx"]], atol=0.2)
    aligned = model.transform(cut(frames, kind), trajectory=path)
    # A few px from the edges of the part, decay is that of whole frames.
    for index in (1, 2):
        inside = aligned.mask[index] & aligned.mask[0]
        difference = np.abs(decay[index] - whole.decay_maps[index])[inside]
        assert np.median(difference) < 0.03
        assert np.quantile(difference, 0.9) < 0.15
        recorded = np.average(1 - whole.decay_maps[index], weights=inside & (frames[0] > 0))
        assert path["mean_damage"][index] == pytest.approx(recorded, abs=0.08)


def test_aligned_frames_hold_no_data_where_none_was_recorded(model, frames, whole):
    aligned = model.transform(cut(frames, "stopped"), trajectory=whole.trajectory)
    plain = model.transform(frames, trajectory=whole.trajectory)
    np.testing.assert_array_equal(aligned.mask[:2], plain.mask[:2])
    rows = np.flatnonzero(aligned.mask[2].any(axis=1))
    assert rows[-1] == np.floor(79 - whole.trajectory["dy"][2])
    assert not (aligned.mask & ~plain.mask).any()


def test_outside_of_the_data_the_decay_is_that_of_the_nearest_pixel(frames):
    pair = cut(frames, "stopped")[[0, 2]]
    state = DriftDecayModel(motion="translation", binning=1).predict(pair)
    last = int(np.flatnonzero(state.overlap[:, 80])[-1])
    assert last < 100
    np.testing.assert_array_equal(state.decay[last + 1 :, 80], state.decay[last, 80])


def test_single_pixels_are_left_out_on_request(frames, whole):
    pair = frames[:2].copy()
    pair[1, 40:120:7, 40:120:5] = np.nan
    filled = DriftDecayModel(motion="translation", binning=1).predict(pair)
    masked = DriftDecayModel(motion="translation", binning=1, bad_pixels="mask").predict(pair)
    np.testing.assert_allclose(masked.motion.drift, filled.motion.drift, atol=0.1)
    assert masked.overlap.sum() < filled.overlap.sum()
    assert abs(masked.decay - filled.decay)[filled.overlap].mean() < 0.02


@pytest.mark.parametrize("bad_pixels", ["repair", "mask"])
def test_sound_series_give_what_they_gave_unmasked(frames, bad_pixels):
    plain = DriftDecayModel(bad_pixels=None).analyze(frames)
    with warnings.catch_warnings():
        warnings.simplefilter("error", BadPixelWarning)
        found = DriftDecayModel(bad_pixels=bad_pixels).analyze(frames)
    np.testing.assert_array_equal(found.decay_maps, plain.decay_maps)
    assert found.trajectory.equals(plain.trajectory)


# A small damaged place may be blurred as well.
@pytest.mark.filterwarnings("ignore::stemkit.exceptions.SharpnessChangeWarning")
def test_score_and_critical_dose_leave_out_what_was_not_recorded(model, frames):
    stopped = cut(frames, "stopped")
    assert model.score(stopped) == pytest.approx(model.score(frames), abs=0.1)
    dose = model.critical_dose(stopped, [0, 1, 2]).dose
    whole = model.critical_dose(frames, [0, 1, 2]).dose
    hole = np.s_[40:60, 50:70]
    np.testing.assert_allclose(np.median(dose[hole]), np.median(whole[hole]), rtol=0.1)
