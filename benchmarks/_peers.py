"""Registration methods of other packages, applied to band-passed frames as is usual."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pystackreg import StackReg
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from stemkit.drift import Motion


def band_pass(frame: NDArray, low: float = 1.0, high: float = 16.0) -> NDArray:
    """Return a difference of Gaussians, to suppress shot noise and slow changes of brightness."""
    return ndimage.gaussian_filter(frame, low) - ndimage.gaussian_filter(frame, high)


def phase_correlation(first: NDArray, second: NDArray, normalization: str | None) -> Motion:
    """Register with phase_cross_correlation of scikit-image, which ignores rotation."""
    shift = phase_cross_correlation(
        band_pass(first), band_pass(second), normalization=normalization, upsample_factor=50
    )[0]
    return Motion(first.shape, -shift)


def stackreg(first: NDArray, second: NDArray) -> Motion:
    """Register with the rigid transform of pystackreg."""
    found = StackReg(StackReg.RIGID_BODY).register(band_pass(first), band_pass(second))
    matrix = found[:2, :2][::-1, ::-1]
    center = (np.array(first.shape) - 1) / 2
    return Motion(first.shape, matrix @ center + found[:2, 2][::-1] - center, matrix)
