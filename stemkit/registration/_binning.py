"""Binning of frames, and interpolation back to their pixels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._validation import Float32Array

# Smallest spacing in px of the strongest lattice planes after binning: well within the range of the
# network's training, but not coarser than necessary, since binning blurs the decay.
_MIN_SPACING = 12.0
# Fewer periods in a frame than this are thickness and vacuum, not structure.
_MIN_PERIODS = 8
# Side in px of the binned frames in the search of motions, of the shorter side.
_SEARCH_SIDE = 200
# Side in px to which frames are binned before a wide Gaussian filter.
_FILTER_SIDE = 512
# Standard deviation in binned px of such a filter at least.
_MIN_SIGMA = 8.0
# Power of a lattice's spot relative to the median of its ring, and to the strongest spot.
_SPOT, _FAINT = 30.0, 0.03


def choose_binning(frame: Float32Array) -> int:
    """Choose a binning that makes a frame's structure as fine as in the network's training.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32
        A frame of a lattice.

    Returns
    -------
    int
        The binning in px; 1 if no lattice is found.
    """
    side = min(frame.shape)
    # The mean of a constant frame is not exact, and rounding gives spots of its own.
    if np.ptp(frame) <= 1e-6 * np.abs(frame).max():
        return 1
    window = np.hanning(frame.shape[0])[:, None] * np.hanning(frame.shape[1])
    power = np.abs(np.fft.rfft2((frame - frame.mean()) * window)) ** 2
    fy = np.fft.fftfreq(frame.shape[0])[:, None]
    fx = np.fft.rfftfreq(frame.shape[1])
    ring = np.rint(np.hypot(fy, fx) * side).astype(int).ravel()
    n_rings = side // 2 + 1
    # A lattice gives spots in a ring of frequencies; noise, edges and amorphous matter fill it.
    order = np.argsort(ring)
    starts = np.searchsorted(ring[order], np.arange(_MIN_PERIODS, n_rings + 1))
    strongest = np.zeros(n_rings)
    for index, (start, stop) in enumerate(pairwise(starts), start=_MIN_PERIODS):
        values = power.ravel()[order[start:stop]]
        peak = values.max()
        strongest[index] = peak if peak > _SPOT * np.median(values) else 0
    if not strongest.any():
        return 1
    # The lowest frequency is that of the unit cell; higher ones are of the motif inside.
    lowest = int(np.flatnonzero(strongest > _FAINT * strongest.max())[0])
    return max(1, int(side / lowest // _MIN_SPACING))


def search_binning(shape: tuple[int, int]) -> int:
    """Return the binning that brings the shorter side to the side of the search at most.

    A longer side may keep more px, up to four times the area, so that narrow frames keep theirs.
    """
    side = np.sqrt(shape[0] * shape[1])
    return max(-(-min(shape) // _SEARCH_SIDE), int(np.ceil(side / (2 * _SEARCH_SIDE))))


def bin_frame(frame: Float32Array, binning: int) -> Float32Array:
    """Average blocks of ``binning`` px; rows and columns that fill no block are left out."""
    if binning == 1:
        return frame
    height, width = (n // binning for n in frame.shape)
    blocks = frame[: height * binning, : width * binning]
    return blocks.reshape(height, binning, width, binning).mean(axis=(1, 3), dtype=np.float32)


def wide_gaussian_filter(frame: Float32Array, sigma: float) -> Float32Array:
    """Filter a frame with a Gaussian of a tenth of its side or more, at reduced resolution.

    The result is so smooth that it is sampled well by binned pixels, and the time of a wide filter
    grows with the third power of the frame's side.
    """
    binning = -(-max(frame.shape) // _FILTER_SIDE)
    # Of long, narrow frames the filter may be narrow too.
    binning = min(binning, max(1, int(sigma / _MIN_SIGMA)))
    binned = ndimage.gaussian_filter(bin_frame(frame, binning), sigma / binning)
    return unbin_map(binned, binning, (frame.shape[0], frame.shape[1]))


def bin_overlap(overlap: NDArray[np.bool_], binning: int) -> Float32Array:
    """Return 1 for blocks of px that all hold data, and 0 for the others."""
    return (bin_frame(overlap.astype(np.float32), binning) == 1).astype(np.float32)


def unbin_map(values: Float32Array, binning: int, shape: tuple[int, int]) -> Float32Array:
    """Interpolate a binned map linearly to full resolution.

    Values belong to the centres of the blocks, and the map is constant beyond the outermost ones.
    """
    if binning == 1:
        return values
    positions = [
        ((np.arange(n) + 0.5) / binning - 0.5).clip(0, m - 1)
        for n, m in zip(shape, values.shape, strict=True)
    ]
    # Bilinear interpolation is separable: one axis after the other, without a grid of coordinates.
    for axis, position in enumerate(positions):
        below = np.floor(position).astype(int)
        above = np.minimum(below + 1, values.shape[axis] - 1)
        share = np.expand_dims((position - below).astype(np.float32), 1 - axis)
        values = values.take(below, axis) * (1 - share) + values.take(above, axis) * share
    return values
