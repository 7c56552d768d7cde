"""What is filled, and what is left out, of frames with bad pixels."""

import warnings

import numpy as np
import pytest

from stemkit._finite_frames import as_frames
from stemkit.exceptions import BadPixelWarning

RNG = np.random.default_rng(3)


def checked(frames, bad_pixels, **options):
    return as_frames(
        frames, lambda array: None, name="X", bad_pixels=bad_pixels, leaves_out=True, **options
    )


@pytest.fixture
def frames():
    return RNG.normal(100, 5, (2, 48, 64)).astype("f4")


@pytest.mark.parametrize("bad_pixels", ["repair", "mask", None])
def test_sound_frames_are_given_back_without_a_mask(frames, bad_pixels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, missing = checked(frames, bad_pixels)
    assert found is frames
    assert missing is None


def test_single_pixels_are_missing_only_if_masked(frames):
    frames[0, 7, 9] = np.nan
    frames[1, 20, 20] = 65535
    with pytest.warns(BadPixelWarning, match="were filled from their neighbours. See"):
        repaired, missing = checked(frames, "repair")
    assert missing is None
    with pytest.warns(BadPixelWarning, match="hold no data and were left out"):
        found, missing = checked(frames, "mask")
    assert np.argwhere(missing).tolist() == [[0, 7, 9], [1, 20, 20]]
    np.testing.assert_array_equal(found, repaired)


def test_large_parts_are_missing_however_they_are_marked(frames):
    frames[0, 5, 5] = np.nan
    for mark in (np.nan, 0):
        frames[1, 30:] = mark
        with pytest.warns(BadPixelWarning, match=f"but {18 * 64}, in large parts, hold no data"):
            found, missing = checked(frames, "repair")
        assert not missing[0].any()
        assert missing[1, 30:].all()
        assert not missing[1, :30].any()
        assert np.isfinite(found).all()


def test_a_mask_of_numpy_and_nan_mean_the_same(frames):
    frames[0, 10:20, 10:20] = np.nan
    with pytest.warns(BadPixelWarning):
        by_nan = checked(frames, "repair")
    with pytest.warns(BadPixelWarning):
        by_mask = checked(np.ma.masked_invalid(frames), "repair")
    for one, other in zip(by_nan, by_mask, strict=True):
        np.testing.assert_array_equal(one, other)
