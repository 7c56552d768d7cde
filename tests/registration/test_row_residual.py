import numpy as np
import pytest

from stemkit.registration import Motion
from stemkit.registration._row_residual import row_residual
from tests.registration.scanned_series import record

SIDE = 128
STILL = np.zeros((SIDE, 2))


@pytest.mark.parametrize("drift", [(0, 0), (5.3, -7.6)])
def test_rows_of_a_frame_that_moved_as_a_whole_are_in_their_place(drift):
    frames = record(np.stack([STILL, STILL + drift]), dose=20)
    found = row_residual(*frames, Motion((SIDE, SIDE), drift))
    assert found.rms < 0.6
    assert found.largest < 1.8


@pytest.mark.parametrize("reach", [2.0, 4.0])
def test_a_bend_is_measured(reach):
    wave = reach * np.sin(4 * np.pi * np.arange(SIDE) / SIDE)
    bent = np.stack([np.zeros(SIDE), wave], -1)
    frames = record(np.stack([STILL, bent]), dose=20)
    found = row_residual(*frames, Motion((SIDE, SIDE)))
    # A sine has 0.7 of its amplitude, and 28 rows of a period of 64 have 0.7 of it in the mean.
    assert 0.3 * reach < found.rms < 0.75 * reach
    assert found.rms < found.largest < 1.2 * reach


def test_frames_without_structure_or_rows_leave_nothing():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, SIDE, SIDE)).astype(np.float32)
    assert row_residual(*noise, Motion((SIDE, SIDE))).rms < 1
    assert row_residual(*np.ones_like(noise), Motion((SIDE, SIDE))) == (0, 0, 1)
    assert row_residual(*noise[:, :16], Motion((16, SIDE))) == (0, 0, 1)
    assert row_residual(*noise, Motion((SIDE, SIDE), (120, 0))) == (0, 0, 1)


def test_reversed_contrast_is_no_displacement():
    frames = record(np.stack([STILL, STILL]), dose=20)
    assert row_residual(frames[0], 50 - frames[1], Motion((SIDE, SIDE))) == (0, 0, 1)
