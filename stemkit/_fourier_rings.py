"""Rings of equal spatial frequency in the Fourier transform of a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft


def fourier_rings(height: int, width: int) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Return each bin's ring and its frequency, of the discrete transform of a frame.

    A ring is as wide as the lowest frequency of the shorter side.

    Parameters
    ----------
    height, width : int
        Shape of the frame.

    Returns
    -------
    ring : ndarray of shape (H, W), int
        From 1 for the lowest frequency to Nyquist's of the shorter side; 0 for the frequency 0 and
        for frequencies beyond.
    frequency : ndarray of shape (H, W)
        In cycles per px.
    """
    frequency = np.hypot(fft.fftfreq(height)[:, None], fft.fftfreq(width))
    shortest = min(height, width)
    ring = np.rint(frequency * shortest).astype(int)
    ring[ring > shortest // 2] = 0
    return ring, frequency
