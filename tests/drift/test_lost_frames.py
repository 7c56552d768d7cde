"""Blank and empty frames of a series, anywhere in it."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from stemkit import DriftDecayModel
from stemkit.datasets import make_scene
from stemkit.degradation import degrade, record
from stemkit.drift._lost_frames import reference_of, warn_of_frames
from stemkit.exceptions import LowConfidenceWarning
from stemkit.registration import Motion, Registration

SHAPE = (48, 60)
RNG = np.random.default_rng(0)
FRAMES = ndimage.gaussian_filter(RNG.random((4, *SHAPE)), (0, 2, 2)).astype("float32")
NOISE = RNG.poisson(9, SHAPE).astype("float32")
DRIFTS = np.array([[0, 0], [4, -6], [7, 3], [-5, 8]])


def pairs(lost, n_frames=4):
    """Return registrations of all pairs, without confidence of those with lost frames."""
    return {
        (i, j): Registration(
            Motion(SHAPE, (j, i)), 0.0 if {i, j} & lost else 0.9, ((Motion(SHAPE), 1.0),), 1.0
        )
        for i in range(n_frames)
        for j in range(i + 1, n_frames)
    }


@pytest.mark.parametrize("content", [np.full(SHAPE, 7, "float32"), NOISE])
@pytest.mark.parametrize("lost, reference", [({0}, 1), ({0, 1}, 2), ({2}, 0), (set(), 0)])
def test_the_reference_is_the_first_frame_that_shows_something(content, lost, reference):
    frames = FRAMES.copy()
    frames[list(lost)] = content
    assert reference_of(pairs(lost), frames) == reference


def test_a_first_frame_that_shows_something_else_remains_the_reference():
    assert reference_of(pairs({0}), FRAMES) == 0
    blank = np.full((4, *SHAPE), 3, "float32")
    assert reference_of(pairs({0, 1, 2, 3}), blank) == 0


def warned(confidence, frames, explain=lambda i, j: pytest.fail("nothing to explain")):
    with pytest.warns(LowConfidenceWarning) as record:
        warn_of_frames(pd.DataFrame({"confidence": confidence}), frames, explain)
    assert len(record) == 1
    return str(record[0].message)


def test_frames_below_the_limit_of_confidence_are_named():
    said = warned([1.0, 0.3, 0.5, 0.49], FRAMES, lambda i, j: "they are dark")
    assert "frames [1, 3] has a confidence below 0.5" in said
    assert "they are dark (frames 0 and 1, 2 and 3)" in said
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_frames(pd.DataFrame({"confidence": [1.0, 0.5]}), FRAMES[:2], pytest.fail)


@pytest.mark.parametrize("content, name", [(np.full(SHAPE, 7), "blank"), (NOISE, "no structure")])
@pytest.mark.parametrize("lost", [0, 2])
def test_lost_frames_are_named_rather_than_the_good_ones(content, name, lost):
    frames, confidence = FRAMES.copy(), np.ones(4)
    frames[lost], confidence[lost] = content, 0
    said = warned(confidence, frames)
    assert said.startswith(f"Frames [{lost}] ")
    assert name in said
    assert ("relative to frame 1" in said) == (lost == 0)


def test_lost_frames_do_not_hide_other_doubtful_ones():
    frames = np.concatenate([FRAMES, FRAMES[:2]])
    frames[0], frames[2] = 5, NOISE
    said = warned([0, 1, 0, 0.2, 1, 0.4], frames, lambda i, j: f"why {i}{j}")
    assert "Frames [0] are blank" in said
    assert "Frames [2] show no structure" in said
    assert "frames [3, 5] has" in said
    # Each is compared with the frame before it that shows something.
    assert "why 13 (frames 1 and 3); why 45 (frames 4 and 5)" in said


def test_all_frames_may_be_blank():
    said = warned([1.0, 0, 0], np.ones((3, *SHAPE), "float32"))
    assert said.startswith("Frames [0, 1, 2] are blank")


@pytest.mark.parametrize("lost", [0, 2])
@pytest.mark.parametrize("vacuum", [True, False])
def test_the_drift_of_the_others_is_found(lost, vacuum):
    scene = make_scene((96, 96), margin=0.4, random_state=3)
    rng = np.random.default_rng(0)
    frames = np.array(
        [
            record(
                degrade(scene, (96, 96), motion=Motion((96, 96), drift))[0],
                dose=50,
                background=0.1,
                random_state=rng,
            )
            for drift in DRIFTS
        ]
    )
    frames[lost] = rng.poisson(5, (96, 96)) if vacuum else 0
    with pytest.warns(LowConfidenceWarning, match=rf"^Frames \[{lost}\]"):
        table = DriftDecayModel(motion="translation", exposure=None).trajectory(frames)
    others = [i for i in range(4) if i != lost]
    np.testing.assert_allclose(
        table.loc[others, ["dy", "dx"]], (DRIFTS - DRIFTS[others[0]])[others], atol=0.3
    )
    assert (table.confidence[others] > 0.5).all()
    assert table.confidence[lost] < 0.5
