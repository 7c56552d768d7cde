"""Parts of a frame that hold no data: not recorded, masked, or under a bar with text.

Single bad pixels, rows and columns are filled from their neighbours, which know what they would
show. Nothing is known inside larger parts, so their filled values must not count as data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

# Side in px of the smallest part that is not filled in a sensible way, and how far the rest of such
# a part may reach beyond squares of this side. Gaps between the chips of a detector are narrower.
_SIDE, _REACH = 5, 2


def missing_regions(bad: Mask) -> Mask:
    """Return which bad pixels belong to parts too large to be filled from their neighbours.

    Parameters
    ----------
    bad : ndarray of shape (..., H, W), bool
        Bad pixels of frames.

    Returns
    -------
    ndarray of shape (..., H, W), bool
        True inside parts of 5 x 5 px and more; at the border of a frame, three lines suffice.
    """
    regions = np.zeros_like(bad)
    frames = zip(
        bad.reshape(-1, *bad.shape[-2:]), regions.reshape(-1, *bad.shape[-2:]), strict=True
    )
    for frame, found in frames:
        if frame.sum() < _SIDE:
            continue
        mirrored = np.pad(frame, _SIDE, mode="symmetric")
        opened = ndimage.binary_opening(mirrored, np.ones((_SIDE, _SIDE)))
        found[:] = opened[_SIDE:-_SIDE, _SIDE:-_SIDE]
        if found.any():
            found[:] = ndimage.binary_dilation(
                found, np.ones((3, 3)), iterations=_REACH, mask=frame
            )
    return regions


def bin_missing(missing: Mask, binning: int) -> Mask:
    """Return which blocks of px hold no data: a part of a region, or half of their pixels.

    Parameters
    ----------
    missing : ndarray of shape (H, W), bool
        Pixels without data.
    binning : int
        Side of a block in px; rows and columns that fill no block are left out.

    Returns
    -------
    ndarray of shape (H // binning, W // binning), bool
    """
    if binning == 1:
        return missing
    height, width = (side // binning for side in missing.shape)

    def share(mask: Mask) -> NDArray[np.float64]:
        blocks = mask[: height * binning, : width * binning]
        return blocks.reshape(height, binning, width, binning).mean(axis=(1, 3))

    return (share(missing_regions(missing)) > 0) | (share(missing) >= 0.5)
