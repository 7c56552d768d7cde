"""Expected drifts from chains of registered pairs."""

import numpy as np

from stemkit.registration import Motion, Registration
from stemkit.registration._frame_chains import FrameChains
from stemkit.registration._search_limits import SearchLimits

SHAPE = (64, 64)


def found(drift, confidence=0.9):
    motion = Motion(SHAPE, drift)
    return Registration(motion, confidence, ((motion, 1.0),), 1.0)


def test_the_drift_of_a_chain_is_expected_and_that_of_separate_frames_is_not():
    chains = FrameChains(5, SearchLimits(max_step=6))
    assert chains.limits_of(0, 1).max_step == 6
    chains.add(0, 1, found((1, 4)))
    chains.add(1, 2, found((2, 4), confidence=0.2))
    chains.add(2, 3, found((1, 3)))
    chains.add(3, 4, found((0, 5)))
    assert chains.limits_of(2, 4).expected == (1, 8)
    assert chains.limits_of(2, 4).max_step == 6
    # No chain of confident pairs connects these, so twice the step is allowed.
    assert chains.limits_of(0, 2).expected == (0, 0)
    assert chains.limits_of(0, 2).max_step == 12
    chains.add(0, 2, found((3, 8)))
    np.testing.assert_allclose(chains.limits_of(1, 4).expected, (3, 12))


def test_without_a_step_the_whole_range_is_searched():
    chains = FrameChains(3, SearchLimits(max_rotation=20))
    chains.add(0, 1, found((1, 4)))
    assert chains.limits_of(0, 1) == SearchLimits(max_rotation=20)
