"""Rings of equal spatial frequency in the Fourier transform of a frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft


def fourier_rings(
    height: int, width: int, sides: tuple[float, float] = (1.0, 1.0)
) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Return each bin's ring and its frequency, of the discrete transform of a frame.

    A ring is as wide as the lowest frequency of the shorter side.

    Parameters
    ----------
    height, width : int
        Shape of the frame.
    sides : (float, float), default=(1, 1)
        Height and width of a pixel, of which frequencies are in the inverse.

    Returns
    -------
    ring : ndarray of shape (H, W), int
        From 1 for the lowest frequency to Nyquist's of the shorter side, or of the longer side of
        oblong pixels; 0 for the frequency 0 and for frequencies beyond.
    frequency : ndarray of shape (H, W)
        In cycles per px.
    """
    frequency = np.hypot(fft.fftfreq(height, sides[0])[:, None], fft.fftfreq(width, sides[1]))
    shortest = min(height * sides[0], width * sides[1])
    ring = np.rint(frequency * shortest).astype(int)
    ring[ring > shortest / (2 * max(sides)) * (1 + 1e-9)] = 0
    return ring, frequency


class RingCorrelation(NamedTuple):
    """Correlation of two frames by spatial frequency, one value for each ring.

    Attributes
    ----------
    frequency : ndarray of shape (n_rings,)
        Mean of the ring in cycles per px.
    correlation : ndarray of shape (n_rings,)
        From -1 to 1, and 0 if a ring has no signal.
    n_pixels : ndarray of shape (n_rings,), int
        Number of bins of the ring.
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]
    n_pixels: NDArray[np.int_]


def correlate_rings(
    first: NDArray, second: NDArray, sides: tuple[float, float] = (1.0, 1.0)
) -> RingCorrelation:
    """Correlate the Fourier transforms of two frames of one shape, ring by ring.

    The frequency 0 and those beyond Nyquist's of the shorter side are left out.
    """
    height, width = first.shape
    ring, frequency = fourier_rings(height, width, sides)
    inside = ring > 0
    ring = ring[inside] - 1
    # Every ring has bins, since it is as wide as the coarser grid.
    n_pixels = np.bincount(ring)
    one, other = (fft.fft2(frame.astype(float))[inside] for frame in (first, second))
    products = np.bincount(ring, weights=(one * other.conj()).real)
    powers = [np.bincount(ring, weights=np.abs(values) ** 2) for values in (one, other)]
    strength = np.sqrt(powers[0] * powers[1])
    correlation = np.divide(products, strength, out=np.zeros(len(products)), where=strength > 0)
    mean_frequency = np.bincount(ring, weights=frequency[inside]) / n_pixels
    return RingCorrelation(mean_frequency, correlation, n_pixels)
