import numpy as np
import pytest

from stemkit.exceptions import OutOfViewWarning
from stemkit.registration import Motion, align_stack, apply_motions

from .drifting_series import walk

SHAPE = (20, 26)


def test_each_channel_is_moved_as_a_frame():
    motions = walk(3, SHAPE, rotation=0.05)
    data = np.random.default_rng(0).random((3, *SHAPE, 2, 5))
    for canvas in ("first", "union", "common"):
        found = apply_motions(data, motions, canvas=canvas, order=3)
        frames = align_stack(data[..., 1, 3], motions, canvas=canvas)
        assert found.origin == frames.origin
        np.testing.assert_array_equal(found.mask[..., 1, 3], frames.mask)
        shown = frames.mask
        np.testing.assert_allclose(found[..., 1, 3][shown], frames[shown], atol=1e-5)
        assert (np.asarray(found)[~found.mask] == 0).all()


def test_images_without_further_axes_are_moved_too():
    motions = walk(2, SHAPE, step=(2, 3))
    frames = np.random.default_rng(0).integers(0, 99, (2, *SHAPE)).astype("uint16")
    found = apply_motions(frames, motions, fill=-1)
    np.testing.assert_array_equal(found[1, :-2, :-3], frames[1, 2:, 3:])
    assert (found[1, -2:] == -1).all()


def test_linear_interpolation_keeps_counts_positive():
    motions = walk(3, SHAPE)
    counts = np.random.default_rng(0).poisson(0.1, (3, *SHAPE, 4))
    assert apply_motions(counts, motions).min() >= 0
    assert apply_motions(counts, motions, order=3).min() < 0


def test_a_part_keeps_its_mask():
    found = apply_motions(np.ones((2, *SHAPE, 3)), walk(2, SHAPE, step=(0, 5)))
    assert found[1].mask.shape == (*SHAPE, 3)
    assert found[1, :, :, 0].mask.sum() == 20 * 21


def test_frames_out_of_view_are_named():
    with pytest.warns(OutOfViewWarning, match=r"Frames \[1\]"):
        apply_motions(np.ones((2, *SHAPE, 3)), walk(2, SHAPE, step=(30, 0)))


@pytest.mark.parametrize(
    "array, message",
    [
        (np.ones((2, 20)), r"array has shape \(2, 20\)"),
        (np.ones((3, *SHAPE)), "for 2 motions"),
        (np.ones((2, 26, 20, 4)), r"frames of shape \(20, 26\)"),
        (np.ones((2, *SHAPE), complex), "pass real numbers"),
        (np.full((2, *SHAPE), np.nan), "NaN or inf in frame 0"),
    ],
)
def test_wrong_arrays_are_named(array, message):
    with pytest.raises(ValueError, match=message):
        apply_motions(array, [Motion(SHAPE)] * 2)
