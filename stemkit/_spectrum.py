"""The Fourier transform of a frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 32


class Spectrum(NamedTuple):
    """The Fourier transform of a frame, windowed and without its mean.

    Attributes
    ----------
    values : ndarray of shape (H, W // 2 + 1), complex64
        The transform, of the frame's intensities.
    fy, fx : ndarray of shape (H, 1) and (1, W // 2 + 1)
        Frequencies in cycles per px.
    """

    values: NDArray[np.complex64]
    fy: NDArray[np.floating]
    fx: NDArray[np.floating]


def spectrum(frame: NDArray) -> Spectrum | None:
    """Transform a frame; None if it is too small to tell anything."""
    from scipy import fft

    height, width = frame.shape
    if min(height, width) < _SMALLEST:
        return None
    window = np.hanning(height)[:, np.newaxis] * np.hanning(width)
    values = (frame - frame.mean(dtype=np.float64)) * window
    return Spectrum(
        fft.rfft2(values.astype(np.float32)),
        np.fft.fftfreq(height)[:, np.newaxis],
        np.fft.rfftfreq(width)[np.newaxis],
    )
