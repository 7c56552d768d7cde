"""The resolution of an average, from the Fourier ring correlation of its halves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from .._fourier_rings import correlate_rings
from .._warnings import warn_caller
from ..exceptions import ResolutionWarning
from ..io._conversion import pixel_sides
from ..io._frame_stack import PixelSize

# For two independent halves, after Nieuwenhuizen et al., Nature Methods 10 (2013) 557.
THRESHOLD = 1 / 7
# Shortest side of a field with enough rings.
_MIN_SIDE = 16
# Width of the taper as a share of the distance from the border to the middle.
_TAPER = 1 / 2
# Standard errors of chance from which a correlation is certain.
_CERTAIN = 4.0


def correlate_halves(
    halves: tuple[NDArray, NDArray],
    shown: NDArray[np.bool_],
    pixel_size: PixelSize | None,
    *,
    n_frames: int,
) -> tuple[pd.DataFrame, float]:
    """Return the Fourier ring correlation of two averages and the resolution in px.

    Parameters
    ----------
    halves : two ndarrays of shape (H, W)
        Averages of independent frames.
    shown : ndarray of shape (H, W), bool
        Where both hold data.
    pixel_size : float, (float, float) or None
        In nm.
    n_frames : int
        Number of frames in both, for messages.

    Returns
    -------
    frc : DataFrame
        As in :class:`AveragedSeries`.
    resolution : float
        Period in px; infinite if the halves never agree.

    Warns
    -----
    ResolutionWarning
        If the halves can't be compared, never agree, or agree at all frequencies.
    """
    taper = _tapered(shown)
    if taper is None:
        warn_caller(
            "The average has no resolution: it needs at least two frames."
            if n_frames < 2
            else f"The average has no resolution: the averages of the two halves of the frames "
            f"have no common field of at least {_MIN_SIDE} x {_MIN_SIDE} px.",
            ResolutionWarning,
        )
        return _table(np.empty(0), np.empty(0), np.empty(0, int), pixel_size), np.inf
    window, weight = taper
    # Of oblong pixels, rings are circles in nm.
    sides = (1.0, 1.0) if pixel_size is None else pixel_sides(pixel_size)
    sides = (float(np.sqrt(sides[0] / sides[1])), float(np.sqrt(sides[1] / sides[0])))
    tapered = [
        (half[window] - np.average(half[window], weights=weight)) * weight for half in halves
    ]
    frequency, correlation, n_pixels = correlate_rings(tapered[0], tapered[1], sides)
    # A taper makes neighbouring bins of the transform dependent.
    independent = n_pixels / 2 * (weight**2).sum() ** 2 / (weight**4).sum() / weight.size
    resolution = _resolution(frequency, correlation, independent)
    if not np.isfinite(resolution):
        warn_caller(
            "The average has no resolution: the averages of the two halves of the frames agree at "
            "no frequency, as of noise, wrong drifts or frames of different fields.",
            ResolutionWarning,
        )
    elif resolution <= 1 / frequency[-1]:
        warn_caller(
            f"The resolution of the average is limited by its pixels, to {resolution:.3g} px: the "
            f"averages of the two halves of the frames agree at all frequencies. Frames that "
            f"share a pattern, as of the detector, agree too.",
            ResolutionWarning,
        )
    return _table(frequency, correlation, n_pixels, pixel_size), resolution


def _tapered(
    shown: NDArray[np.bool_],
) -> tuple[tuple[slice, slice], NDArray[np.float64]] | None:
    """Return the window around what both halves show, and weights that fall to 0 at its border.

    Borders would agree in both halves, whatever they show.
    """
    found = ndimage.find_objects(shown.astype(np.int8))
    if not found or min(part.stop - part.start for part in found[0]) < _MIN_SIDE:
        return None
    window = found[0]
    depth = ndimage.distance_transform_edt(np.pad(shown[window], 1))[1:-1, 1:-1]
    if 2 * depth.max() < _MIN_SIDE:
        return None
    share = np.minimum(depth / (_TAPER * depth.max() + 1), 1)
    return window, np.sin(np.pi / 2 * share) ** 2


def _resolution(
    frequency: NDArray[np.float64],
    correlation: NDArray[np.float64],
    independent: NDArray[np.float64],
) -> float:
    """Return the period of the finest structure in which the halves agree.

    The lowest rings have few bins and scatter, so three neighbours are averaged, and rings that
    agree one after the other have to be certain together. A single ring, as of the reflections of
    a crystal, counts if it is certain by itself.
    """
    kernel = np.ones(3)
    smooth = np.convolve(correlation * independent, kernel, "same")
    smooth /= np.convolve(independent, kernel, "same")
    last = -1
    for run in np.split(np.arange(len(smooth)), np.flatnonzero(np.diff(smooth >= THRESHOLD)) + 1):
        together = (correlation * independent)[run].sum()
        certain = together > _CERTAIN * np.sqrt(independent[run].sum())
        # A strong ring raises the mean of its neighbours too.
        agrees = run[correlation[run] >= THRESHOLD]
        if agrees.size and smooth[run[0]] >= THRESHOLD and certain:
            last = int(agrees[-1])
    single = correlation >= np.maximum(THRESHOLD, _CERTAIN / np.sqrt(independent))
    last = max([last, *np.flatnonzero(single)])
    if last < 0:
        return np.inf
    crossing = frequency[last]
    if last + 1 < len(frequency) and correlation[last + 1] < THRESHOLD:
        step = (correlation[last] - THRESHOLD) / (correlation[last] - correlation[last + 1])
        crossing += step * (frequency[last + 1] - crossing)
    return float(1 / crossing)


def _table(
    frequency: NDArray, correlation: NDArray, n_pixels: NDArray, pixel_size: PixelSize | None
) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "frequency": frequency,
            "correlation": correlation,
            "n_pixels": n_pixels,
            "threshold": np.full(len(frequency), THRESHOLD),
        }
    )
    if pixel_size is not None:
        side = float(np.sqrt(np.prod(pixel_sides(pixel_size))))
        table.insert(1, "frequency_per_nm", frequency / side)
    return table
