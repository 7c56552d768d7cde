"""What the spectrum of a frame tells about noise of lines, fixed patterns and lattices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._spectrum import Spectrum

# Frequencies in cycles per px beyond which atoms have no structure: along one axis, and of both
# axes together for patterns that stay.
_HIGH, _HIGHEST = 0.36, 0.58
# Frequencies along the other axis with which those of whole lines are compared, in steps of the
# transform; the window mixes frequencies of up to one step.
_BESIDE = 3, 12
# Standard errors by which noise of lines must stand out.
_CERTAIN = 5.0
# Least power of a lattice's reflection in that of the frequencies of its size, and the lowest
# frequency in steps of the transform.
_REFLECTION, _LOWEST = 25.0, 6.0


def line_noise(found: Spectrum) -> tuple[float, float]:
    """Return the standard deviations of whole rows and columns, in that of a pixel's noise.

    Atoms have no structure at the highest frequencies, but rows with an offset of their own have:
    the same at each frequency along the column, and none along the row.

    Parameters
    ----------
    found : Spectrum
        Of one frame.

    Returns
    -------
    rows, columns : float
        0 if no more than by chance.
    """
    power = np.abs(found.values) ** 2
    width = 2 * (power.shape[1] - 1)
    high = np.abs(found.fy[:, 0]) > _HIGH
    rows = _excess(power[high, 0], power[high, _BESIDE[0] : _BESIDE[1]], width)
    high = found.fx[0] > _HIGH
    columns = _excess(power[0, high], power[_BESIDE[0] : _BESIDE[1], high], power.shape[0])
    return rows, columns


def _excess(on_axis: NDArray, beside: NDArray, length: int) -> float:
    """Return the standard deviation of lines whose noise adds up to the power on an axis."""
    # The median over frequencies: planes of a lattice along the axis are peaks at some of them.
    ratio = float(np.median(on_axis)) / max(float(np.median(beside)), np.finfo(float).tiny)
    error = 2.0 * np.sqrt(1 / on_axis.size)
    if ratio < 1 + _CERTAIN * error:
        return 0.0
    # The window of Hann has a mean of 1/2 and a mean square of 3/8.
    return float(np.sqrt((ratio - 1) * (3 / 8) / (1 / 4) / length))


def fixed_pattern(one: Spectrum, other: Spectrum) -> float:
    """Return the share of the noise that two frames have in common.

    Parameters
    ----------
    one, other : Spectrum
        Of frames of the same size.

    Returns
    -------
    float
        0 if it is no more than by chance.
    """
    highest = np.hypot(one.fy, one.fx) > _HIGHEST
    first, second = one.values[highest], other.values[highest]
    norm = float(np.sqrt(np.sum(np.abs(first) ** 2) * np.sum(np.abs(second) ** 2)))
    if norm == 0:
        return 0.0
    share = float(np.sum(first * second.conj()).real) / norm
    return share if share > _CERTAIN * np.sqrt(2 / first.size) else 0.0


def lattice_spacing(found: Spectrum) -> float:
    """Return the distance in px of the lattice planes with the strongest reflection.

    Parameters
    ----------
    found : Spectrum
        Of one frame.

    Returns
    -------
    float
        NaN if no reflection stands out.
    """
    power = np.abs(found.values) ** 2
    height, width = power.shape[0], 2 * (power.shape[1] - 1)
    frequency = np.hypot(found.fy, found.fx)
    # The axes hold what whole lines share; a reflection there is found beside it too.
    inside = (frequency > _LOWEST / min(height, width)) & (frequency < _HIGH)
    ring = np.rint(frequency * min(height, width)).astype(int)
    n = np.bincount(ring[inside])
    mean = np.bincount(ring[inside], power[inside]) / np.maximum(n, 1)
    # Smooth over rings, since a reflection is a good part of its own.
    level = np.convolve(np.pad(mean, 4, mode="edge"), np.ones(9) / 9, "valid")
    ratio = np.where(inside, power / np.maximum(level, 1e-30)[np.minimum(ring, len(level) - 1)], 0)
    candidates = np.where(ratio > _REFLECTION, ratio, 0.0)
    y, x = np.unravel_index(int(np.argmax(candidates)), power.shape)
    if candidates[y, x] == 0:
        return float("nan")
    # The centre of the peak, to a part of a step.
    rows, columns = (y + np.arange(-1, 2)) % height, np.clip(x + np.arange(-1, 2), 0, None)
    columns = columns[columns < power.shape[1]]
    weight = power[np.ix_(rows, columns)]
    step_y = (weight.sum(axis=1) @ np.arange(-1, 2)) / weight.sum()
    step_x = (weight.sum(axis=0) @ (columns - x)) / weight.sum()
    return float(1 / np.hypot(found.fy[y, 0] + step_y / height, found.fx[0, x] + step_x / width))
