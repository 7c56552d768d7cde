"""Frames at the resolution that the work at hand needs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._validation import Float32Array

# Finest spacing, in px, of the strongest lattice planes that binning may lead to: well within what
# the network saw in training, and no coarser than need be, since binning blurs the decay too.
_LEAST_SPACING = 12.0
# Slower than so many periods in a frame is thickness and vacuum, not structure.
_SLOWEST = 8
# Side in px of a frame that shows all that a filter leaves which is a tenth of it wide.
_SMOOTH_SIDE = 512
# How far a lattice's spot stands above the median of its ring, and how faint beside the brightest.
_SPOT, _FAINT = 30.0, 0.03


def choose_binning(frame: Float32Array) -> int:
    """Return how many px to bin so that the frame's structure is as fine as the network knows.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32

    Returns
    -------
    int
        1 where no structure stands out of the noise.
    """
    side = min(frame.shape)
    if side < 32:
        return 1
    window = np.hanning(frame.shape[0])[:, None] * np.hanning(frame.shape[1])
    power = np.abs(np.fft.rfft2((frame - frame.mean()) * window)) ** 2
    fy = np.fft.fftfreq(frame.shape[0])[:, None]
    fx = np.fft.rfftfreq(frame.shape[1])
    ring = np.rint(np.hypot(fy, fx) * side).astype(int).ravel()
    n_rings = side // 2 + 1
    # A lattice stands out of its ring as spots; noise, edges and amorphous matter fill rings.
    order = np.argsort(ring, kind="stable")
    starts = np.searchsorted(ring[order], np.arange(_SLOWEST, n_rings + 1))
    strongest = np.zeros(n_rings)
    for index, (start, stop) in enumerate(pairwise(starts), start=_SLOWEST):
        values = power.ravel()[order[start:stop]]
        peak = values.max()
        strongest[index] = peak if peak > _SPOT * np.median(values) else 0
    if not strongest.any():
        return 1
    # The slowest of them is the lattice's own repeat; what is faster is the motif within.
    slowest = int(np.flatnonzero(strongest > _FAINT * strongest.max())[0])
    return int(np.clip(side / slowest // _LEAST_SPACING, 1, side // 32))


def bin_frame(frame: Float32Array, binning: int) -> Float32Array:
    """Average blocks of ``binning`` px; a rim that fills no block is left out."""
    if binning == 1:
        return frame
    height, width = (n // binning for n in frame.shape)
    blocks = frame[: height * binning, : width * binning]
    return blocks.reshape(height, binning, width, binning).mean(axis=(1, 3), dtype=np.float32)


def smooth_frame(frame: Float32Array, sigma: float) -> Float32Array:
    """Smooth a frame by a Gaussian as wide as a good part of it.

    What is so smooth needs no more px than a binned frame has, and the time of a wide filter grows
    with the third power of the frame's side.
    """
    binning = -(-max(frame.shape) // _SMOOTH_SIDE)
    smooth = ndimage.gaussian_filter(bin_frame(frame, binning), sigma / binning, mode="reflect")
    return unbin_map(smooth, binning, (frame.shape[0], frame.shape[1]))


def bin_overlap(overlap: NDArray[np.bool_], binning: int) -> Float32Array:
    """Return 1 where a binned frame holds data in all of a block, and 0 elsewhere."""
    return (bin_frame(overlap.astype(np.float32), binning) == 1).astype(np.float32)


def unbin_map(values: Float32Array, binning: int, shape: tuple[int, int]) -> Float32Array:
    """Draw a binned map at full resolution, straight between the blocks' middles."""
    if binning == 1:
        return values
    middle = [
        ((np.arange(n) + 0.5) / binning - 0.5).clip(0, m - 1)
        for n, m in zip(shape, values.shape, strict=True)
    ]
    # Bilinear interpolation is separable: two passes of one axis, no grid of coordinates.
    for axis, place in enumerate(middle):
        below = np.floor(place).astype(int)
        above = np.minimum(below + 1, values.shape[axis] - 1)
        share = (place - below).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        values = values.take(below, axis) * (1 - share) + values.take(above, axis) * share
    return values
