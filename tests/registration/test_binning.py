import numpy as np
from scipy import ndimage

from stemkit.registration._binning import (
    wide_gaussian_filter,
)


def test_a_wide_gaussian_of_a_large_frame_needs_no_more_than_a_binned_one():
    frame = np.random.default_rng(0).normal(size=(1100, 733)).astype(np.float32)
    frame += np.linspace(0, 5, 733, dtype=np.float32)
    expected = ndimage.gaussian_filter(frame, 60, mode="reflect")
    np.testing.assert_allclose(wide_gaussian_filter(frame, 60), expected, atol=0.02)
