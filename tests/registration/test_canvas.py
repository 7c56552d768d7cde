import numpy as np
import pytest
from hypothesis import given

from stemkit.registration import Motion, coverage, warp
from stemkit.registration._canvas import (
    Canvas,
    choose_canvas,
    largest_rectangle,
    source_of,
)

from ..motions import motions


@given(motions())
def test_sources_are_those_of_warped_frames(motion):
    canvas = choose_canvas([motion], "first")
    source = source_of(motion, canvas, canvas.whole())
    clear = coverage(motion.inverse()) == source.is_inside(motion.shape)
    assert clear.mean() > 0.98  # on the border, rounding decides
    y, x = np.indices(motion.shape)
    expected = motion.apply(np.stack([y.ravel(), x.ravel()], axis=1))
    np.testing.assert_allclose(np.stack(source.places()).reshape(2, -1).T, expected, atol=1e-8)


@given(motions())
def test_the_window_holds_all_that_a_frame_shows(motion):
    canvas = Canvas((50, 70), (-11, 7))
    window = canvas.window(motion)
    inside = source_of(motion, canvas, canvas.whole()).is_inside(motion.shape)
    outside = inside.copy()
    outside[window] = False
    assert not outside.any()
    np.testing.assert_array_equal(
        source_of(motion, canvas, window).is_inside(motion.shape), inside[window]
    )


@given(motions(n=3))
def test_the_union_is_the_smallest_rectangle_around_all_corners(moved):
    shape = moved[0].shape
    same = [Motion(shape, motion.drift, motion.matrix) for motion in moved]
    canvas = choose_canvas(same, "union")
    corners = [(y, x) for y in (0, shape[0] - 1) for x in (0, shape[1] - 1)]
    places = np.concatenate([motion.inverse().apply(corners) for motion in same])
    low, high = np.array(canvas.origin), np.array(canvas.origin) + canvas.shape - 1
    assert (low <= places.min(axis=0) + 1e-5).all()
    assert (low > places.min(axis=0) - 1 - 1e-5).all()
    assert (high >= places.max(axis=0) - 1e-5).all()
    assert (high < places.max(axis=0) + 1 + 1e-5).all()


@pytest.mark.parametrize("rotation", [0.0, 0.2, 0.7])
def test_no_larger_rectangle_fits(rotation):
    shape = (24, 31)
    back = Motion.from_parameters(shape, drift=(3, 2), rotation=rotation).inverse()
    shown = coverage(back)
    y, x = largest_rectangle(shown)
    assert shown[y, x].all()
    best = max(
        (bottom - top) * (right - left)
        for top in range(24)
        for bottom in range(top + 1, 25)
        for left in range(31)
        for right in range(left + 1, 32)
        if shown[top:bottom, [left, right - 1]].all()  # the region is convex
    )
    assert (y.stop - y.start) * (x.stop - x.start) == best


def test_a_part_of_a_canvas_is_sampled_as_the_whole():
    frame = np.random.default_rng(0).random((20, 24), dtype="f4")
    motion = Motion.from_parameters((20, 24), drift=(2.3, -1.7), rotation=0.2)
    canvas = choose_canvas([motion], "first")
    whole = source_of(motion, canvas, canvas.whole()).sample(frame, order=3)
    np.testing.assert_allclose(whole, warp(frame, motion.inverse()), atol=1e-5)
    window = (slice(4, 11), slice(9, 20))
    part = source_of(motion, canvas, window).sample(frame, order=3)
    np.testing.assert_allclose(part, whole[window], atol=1e-5)
