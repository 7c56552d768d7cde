"""Find scale bars that are burned into a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._bad_pixels import Mask

# Least area and length in px, least ratio of length to thickness, and the
# share of its rectangle that a bar fills.
_AREA, _LENGTH, _ELONGATION, _FILLED = 32, 16, 3.0, 0.98


def find_scale_bars(frame: NDArray) -> Mask:
    """Return the pixels of rectangles that have the largest or the smallest value throughout.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        A frame without the bands at its edges.

    Returns
    -------
    ndarray of shape (H, W), bool
    """
    found = np.zeros(frame.shape, bool)
    for value in (frame.max(), frame.min()):
        equal = frame == value
        # Only pixels with equal pixels to the left and right can belong to a long bar.
        inside = equal[:, 1:-1] & equal[:, :-2] & equal[:, 2:]
        if not _AREA / 2 <= np.count_nonzero(inside) <= frame.size // 4:
            continue
        label, _ = ndimage.label(equal)
        sizes = np.bincount(label.ravel())
        for index, box in enumerate(ndimage.find_objects(label), start=1):
            height, width = (side.stop - side.start for side in box)
            if (
                sizes[index] >= max(_AREA, _FILLED * height * width)
                and width >= max(_LENGTH, _ELONGATION * height)
                and height >= 2
                and width < frame.shape[1]
            ):
                found[box] |= label[box] == index
    return found
