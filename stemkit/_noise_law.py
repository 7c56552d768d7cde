"""The noise of one frame as a function of its intensity, from the differences of neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._arrays import Float32Array

# Pixels from which the noise is estimated.
_FOR_NOISE = 2**14
# The 16 pixels at a distance of two.
RING = np.pad(np.zeros((3, 3), bool), 1, constant_values=True)


class NoiseLaw(NamedTuple):
    """Noise of a frame: the variance is that at the lowest level plus the gain times the rest.

    Attributes
    ----------
    low : float
        The level of the darkest places, the 5th percentile.
    gain : float
        Increase of the variance per intensity: the intensity of one electron if the noise is that
        of counts.
    readout : float
        Standard deviation of the noise at the darkest places.
    above, below : float
        What one pixel in a hundred differs by, upwards and downwards: of noise with heavy tails
        more than the standard deviation tells.
    """

    low: float
    gain: float
    readout: float
    above: float = 0.0
    below: float = 0.0


def ring_median(frame: Float32Array, y: NDArray, x: NDArray) -> Float32Array:
    """Return the median of the 16 pixels at a distance of two of each of some pixels."""
    padded = np.pad(frame, 2, mode="reflect")
    ring = [padded[y + dy, x + dx] for dy, dx in np.argwhere(RING)]
    return np.median(ring, axis=0).astype(np.float32)


def sampling(frame: Float32Array) -> int:
    """Return the step between the pixels of which there are enough to estimate the noise."""
    return max(1, int(np.sqrt(frame.size / _FOR_NOISE)))


def noise_law(frame: Float32Array) -> NoiseLaw:
    """Estimate the noise from the differences of neighbours, at the dark and the bright places.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32
        The frame, of at least 3 x 3 pixels.

    Returns
    -------
    NoiseLaw
        In the unit of the frame.
    """
    step = sampling(frame)
    y, x = (
        index.ravel() for index in np.mgrid[: frame.shape[0] : step, : frame.shape[1] - 1 : step]
    )
    level = ring_median(frame, y, x)
    difference = (frame[y, x + 1] - frame[y, x]) / np.float32(np.sqrt(2))
    low, high = (float(value) for value in np.percentile(level, (5, 95)))

    def deviation(where: NDArray[np.bool_]) -> float:
        # The mean, since the median of whole numbers is one; with the largest clipped, bad pixels.
        values = np.abs(difference[where])
        return 1.2837 * float(np.mean(values.clip(None, np.percentile(values, 95))))

    readout, at_high = deviation(level <= low), deviation(level >= high)
    gain = max(at_high**2 - readout**2, 0.0) / (high - low) if high > low else 0.0
    if np.median(np.abs(difference)) == 0:
        # Few counts, mostly zero: their variance is the gain times their mean, and one electron
        # gives the smallest step.
        square, mean = difference**2, 0.5 * (frame[y, x + 1] + frame[y, x]) - low
        inner = square <= np.percentile(square, 99.5)
        squares, counts = (float(values[inner].sum()) for values in (square, mean))
        gain = max(gain, squares / counts) if counts > 1e-9 * squares else gain
        above = frame[frame > low]
        gain = max(gain, float(above.min()) - low) if above.size else gain
    deepest, highest = np.percentile(frame[y, x] - level, (1, 99))
    return NoiseLaw(low, gain, readout, float(highest), float(-deepest))
