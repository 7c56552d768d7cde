"""Limits of the motions that are searched."""

import numpy as np
import pytest

from stemkit.registration import Motion
from stemkit.registration._search_limits import SearchLimits


def test_rotations_cover_the_limit_in_steps_of_a_degree_or_less():
    turns = np.rad2deg(SearchLimits(max_rotation=6).rotations((200, 200)))
    np.testing.assert_allclose(turns, np.arange(-6, 7), atol=1e-9)
    # The ends of a long frame move further.
    assert np.diff(SearchLimits().rotations((500, 100))).max() < np.deg2rad(0.5)
    whole = np.rad2deg(SearchLimits(max_rotation=180).rotations((64, 64)))
    assert len(whole) == 360
    assert len(np.unique(np.round(whole % 360, 6))) == 360


def test_magnifications_are_one_or_a_range():
    np.testing.assert_array_equal(SearchLimits().scales(), [1.0])
    np.testing.assert_array_equal(SearchLimits(scale=1.1).scales(), [1.1])
    tried = SearchLimits(scale=(0.8, 1.25)).scales()
    assert tried[0] == pytest.approx(0.8)
    assert tried[-1] == pytest.approx(1.25)
    assert (tried[1:] / tried[:-1]).max() <= 1.0201
    with pytest.raises(ValueError, match="lower limit first"):
        SearchLimits(scale=(1.2, 1.0))


def test_limits_grow_with_the_steps_between_two_frames_unless_their_drift_is_expected():
    limits = SearchLimits(max_step=5, scale=1.1)
    later = limits.after(3)
    assert later.max_step == 15
    assert later.scale == pytest.approx(1.331)
    near = limits.after(3, np.array([10.0, -2.0]))
    assert near.max_step == 5
    shape = (64, 64)
    assert near.allow(Motion(shape, (13, -2)), 1)
    assert not near.allow(Motion(shape, (0, 0)), 1)
    assert near.disc(2)[0] == (5.0, -1.0)
    assert SearchLimits(scale=(0.9, 1.1)).after(4).scale == (0.9, 1.1)
