import copy
import pickle

import numpy as np
import pytest

from stemkit._validation import check_frames
from stemkit.drift import AlignedStack

rng = np.random.default_rng(0)
FRAMES = rng.random((5, 6, 7)).astype("float32")
MASK = rng.random((5, 6, 7)) > 0.3


def stack():
    return AlignedStack(FRAMES.copy(), MASK.copy())


def test_it_is_an_array_with_a_mask():
    aligned = stack()
    assert isinstance(aligned, np.ndarray)
    assert aligned.dtype == np.float32
    np.testing.assert_array_equal(aligned, FRAMES)
    np.testing.assert_array_equal(aligned.mask, MASK)
    assert AlignedStack(FRAMES).mask is None


def test_parts_along_the_frames_keep_the_origin():
    aligned = AlignedStack(FRAMES, MASK, (-3, 4))
    assert aligned.origin == aligned[1:3].origin == aligned.copy().origin == (-3, 4)
    assert pickle.loads(pickle.dumps(aligned)).origin == (-3, 4)
    assert aligned[:, 1:].origin is None
    assert AlignedStack(FRAMES).origin == (0, 0)


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        slice(1, 4),
        slice(None, None, -2),
        [0, 3],
        np.array([True, False, True, False, True]),
        (slice(None), slice(2, 5), slice(1, 3)),
        (2, slice(None), 3),
        (..., np.newaxis),
        Ellipsis,
        MASK,
    ],
)
def test_parts_keep_their_part_of_the_mask(key):
    part = stack()[key]
    np.testing.assert_array_equal(part, FRAMES[key])
    np.testing.assert_array_equal(part.mask, MASK[key])
    assert part.mask.shape == part.shape


def test_single_pixels_are_numbers():
    pixel = stack()[1, 2, 3]
    assert isinstance(pixel, np.float32)
    assert pixel == FRAMES[1, 2, 3]


def test_frames_come_one_by_one_with_their_masks():
    for frame, values, mask in zip(stack(), FRAMES, MASK, strict=True):
        np.testing.assert_array_equal(frame, values)
        np.testing.assert_array_equal(frame.mask, mask)


@pytest.mark.parametrize(
    "compute",
    [
        lambda s: s + 1,
        lambda s: 2 * s,
        lambda s: -s,
        lambda s: s > 0.5,
        np.sqrt,
        lambda s: s.mean(axis=0),
        lambda s: s.sum(axis=(1, 2)),
        lambda s: np.median(s, axis=0),
        lambda s: s.max(),
        lambda s: s - s.mean(),
    ],
)
def test_operations_return_plain_arrays(compute):
    result, expected = compute(stack()), compute(FRAMES)
    np.testing.assert_array_equal(result, expected)
    assert type(result) is type(expected)
    assert result.dtype == expected.dtype


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.reshape(5, -1),
        lambda s: s.T,
        lambda s: s.transpose(0, 2, 1),
        lambda s: np.concatenate([s, s]),
        lambda s: s.astype("float64"),
    ],
)
def test_views_of_other_shapes_have_no_mask(change):
    result = change(stack())
    np.testing.assert_array_equal(result, change(FRAMES))
    assert getattr(result, "mask", None) is None


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_with_its_mask(protocol):
    again = pickle.loads(pickle.dumps(stack(), protocol))
    assert type(again) is AlignedStack
    np.testing.assert_array_equal(again, FRAMES)
    np.testing.assert_array_equal(again.mask, MASK)
    assert pickle.loads(pickle.dumps(AlignedStack(FRAMES), protocol)).mask is None


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda s: s.copy()])
def test_copies_are_independent(duplicate):
    original = stack()
    again = duplicate(original)
    assert type(again) is AlignedStack
    np.testing.assert_array_equal(again, FRAMES)
    np.testing.assert_array_equal(again.mask, MASK)
    again[:] = 0
    again.mask[:] = False
    np.testing.assert_array_equal(original, FRAMES)
    np.testing.assert_array_equal(original.mask, MASK)
    assert duplicate(AlignedStack(FRAMES)).mask is None


def test_values_can_be_written_in_place():
    aligned = stack()
    aligned[~aligned.mask] = 0
    np.testing.assert_array_equal(aligned, FRAMES * MASK)
    aligned[1] += 1
    np.testing.assert_array_equal(aligned[1], FRAMES[1] * MASK[1] + 1)
    np.testing.assert_array_equal(aligned.mask, MASK)


def test_masked_statistics_leave_out_pixels_without_data():
    aligned = stack()
    masked = np.ma.masked_array(aligned, ~aligned.mask)
    assert masked.mean() == pytest.approx(FRAMES[MASK].mean())


def test_a_stack_goes_back_into_an_estimator():
    frames = check_frames(stack())
    assert type(frames) is np.ndarray
    np.testing.assert_array_equal(frames, FRAMES)
