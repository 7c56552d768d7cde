"""Tests of grey frames from images with colour channels."""

import numpy as np
import pytest

from stemkit.io._grey import to_grey

FRAME = np.random.default_rng(0).integers(0, 200, (5, 6)).astype("u1")


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_equal_channels_are_one_frame(n_channels):
    image = np.repeat(FRAME[..., None], n_channels, axis=2)
    if n_channels in (2, 4):
        image[..., -1] = 255  # opacity
    np.testing.assert_array_equal(to_grey(image, n_dims=2), FRAME)
    np.testing.assert_array_equal(to_grey(image[None], n_dims=3), FRAME[None])


def test_a_grey_image_is_left_as_it_is():
    assert to_grey(FRAME, n_dims=2) is FRAME


@pytest.mark.parametrize("channel", [1, 2])
def test_one_pixel_in_colour_is_an_error(channel):
    image = np.repeat(FRAME[..., None], 3, axis=2)
    image[4, 5, channel] += 1
    with pytest.raises(ValueError, match="colours"):
        to_grey(image, n_dims=2)
