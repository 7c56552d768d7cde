"""Estimate of the noise level of a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def noise_level(frame: NDArray) -> float:
    """Estimate the standard deviation of white noise by Immerkær's method.

    Its mask is insensitive to slopes and to lines along an axis, and nearly so to atoms.
    """
    second = np.array([1, -2, 1]) / 6
    residual = ndimage.correlate(frame.astype(float), 6 * np.outer(second, second))
    return float(np.sqrt(np.pi / 2) * np.abs(residual).mean())


def mean_noise_level(frames: NDArray) -> float:
    """Return the mean noise level of frames (n, ..., H, W)."""
    return float(np.mean([noise_level(frame) for frame in frames.reshape(-1, *frames.shape[-2:])]))
