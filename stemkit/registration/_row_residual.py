"""What a motion of whole frames leaves of the displacements of their rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from .._missing import Mask
from .._motion import Motion
from .._validation import Float32Array
from ._binning import bin_frame, wide_gaussian_filter
from ._row_paths import HIGH_PASS, MIN_ROWS
from ._strip_search import Reference, find_strips, noise_variance
from ._warping import align

# Rows are looked for at most so many px of the binned frames away.
_REACH = 16
# Frames are binned to at most so many rows or columns.
_SIDE = 320
# Strips that are less probable are left out, and at least this share must remain.
_CERTAIN, _LEAST_SHARE = 0.75, 0.3
# Strips at the borders are located less well.
_BORDER = 2
# Number of neighbouring strips that are averaged.
_N_SMOOTHED = 5


class RowResidual(NamedTuple):
    """Displacements of the rows of a pair, smoothed over neighbouring strips, in px.

    Attributes
    ----------
    rms : float
        Root mean square over the strips of the frame.
    largest : float
        That of the strip that is displaced most.
    binning : int
        Binning of the frames in which they were measured; errors are in proportion to it.
    """

    rms: float
    largest: float
    binning: int


def row_residual(
    first: Float32Array,
    second: Float32Array,
    motion: Motion,
    missing: tuple[Mask | None, Mask | None] = (None, None),
    *,
    linear: bool = True,
) -> RowResidual:
    """Return how far rows of a pair are off after the frames were aligned by a motion.

    Parameters
    ----------
    first, second : ndarray of shape (H, W), float32
        The earlier and the later frame.
    motion : Motion
        From the first frame to the second.
    missing : (ndarray or None, ndarray or None)
        Pixels without data of either frame.
    linear : bool, default=True
        Whether the motion was free to shear and stretch the frame, so that a displacement in
        proportion to the row is an error of this fit.

    Returns
    -------
    RowResidual
        Zeros if too few strips can be located.
    """
    if min(first.shape) < MIN_ROWS:
        return RowResidual(0.0, 0.0, 1)
    aligned, overlap = align(second, motion, missing)
    binning = -(-max(first.shape) // _SIDE)
    known = bin_frame(overlap.astype(np.float32), binning) == 1
    frames = [bin_frame(frame, binning) for frame in (first, aligned)]
    if min(known.shape) < MIN_ROWS or known.mean() < _LEAST_SHARE:
        return RowResidual(0.0, 0.0, 1)
    sigma = max(HIGH_PASS * min(known.shape), 3.0)
    detail = [
        np.where(known, frame - wide_gaussian_filter(frame, sigma), 0).astype(np.float64)
        for frame in frames
    ]
    # Blank frames, or those whose contrast is reversed, show no rows that could be compared.
    if np.sum(detail[0] * detail[1]) <= 0:
        return RowResidual(0.0, 0.0, 1)
    reference = Reference(detail[0], known, noise_variance(frames[0]), (0, 0))
    strips = find_strips(detail[1], reference, np.zeros(2, dtype=np.int64), _REACH)
    rows = np.rint(strips.row).astype(int)
    seen = known[rows].mean(axis=1) > _LEAST_SHARE
    certain = seen & (strips.probability > _CERTAIN)
    certain[:_BORDER] = certain[-_BORDER:] = False
    if certain.sum() < _LEAST_SHARE * max(int(seen.sum()), 1) or certain.sum() < 4:
        return RowResidual(0.0, 0.0, 1)
    # Any motion that is left of the whole frame is none of its rows.
    design = np.stack([np.ones(len(rows)), rows - rows.mean()], axis=1)[certain, : 1 + linear]
    rest = strips.displacement[certain]
    rest = rest - design @ np.linalg.lstsq(design, rest, rcond=None)[0]
    rest = ndimage.uniform_filter1d(rest, _N_SMOOTHED, axis=0, mode="nearest")
    distance = binning * np.hypot(*rest.T)
    rms = float(np.sqrt(np.mean(distance**2)))
    return RowResidual(rms, float(distance.max()), binning)
