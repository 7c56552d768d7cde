"""Find the parts of a picture that are no image: bands at the edges, and burned-in bars."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._bad_pixels import Mask

# Chance below which a line of equal values is taken for one that was not recorded.
_CHANCE = 1e-6
# Share of the most common value in a line of a data bar, and among the image next to it at most.
_BACKGROUND, _IN_IMAGE = 0.5, 0.1
# Least thickness of a data bar in px, and largest share of the frame.
_THINNEST_BAR, _THICKEST_BAR = 4, 0.3
# Lines that are compared with a band.
_NEXT = 16
# Burned-in scale bars: least area and length in px, least ratio of length to thickness, and the
# share of its rectangle that a bar fills.
_AREA, _LENGTH, _ELONGATION, _FILLED = 32, 16, 3.0, 0.98


class Edges(NamedTuple):
    """Number of lines at each side of a frame."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def inner(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Return the slices of what lies inside."""
        height, width = shape
        return slice(self.top, height - self.bottom), slice(self.left, width - self.right)

    def __bool__(self) -> bool:
        return any(tuple(self))


def find_unrecorded(frame: NDArray) -> Edges:
    """Return how many rows and columns at the edges are constant while those next to them are not.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        A frame that is not constant.

    Returns
    -------
    Edges
    """
    top, bottom = _constant_lines(frame), _constant_lines(frame[::-1])
    # In rows that were not recorded every column has the same value.
    rows = frame[top : len(frame) - bottom]
    return Edges(top, bottom, _constant_lines(rows.T), _constant_lines(rows.T[::-1]))


def _constant_lines(lines: NDArray) -> int:
    """Count the constant lines at the beginning, unless they are so by chance."""
    if min(lines.shape) < 2:
        return 0
    differs = (lines != lines[:1, :1]).any(axis=1)
    n = int(np.argmax(differs)) if differs.any() else 0
    if n in (0, len(lines)):
        return 0
    following = lines[n : n + _NEXT]
    # A vacuum without counts is constant too, and so are pictures without noise.
    share = max(np.mean(following == lines[0, 0]), np.mean(following[:, 1:] == following[:, :-1]))
    return n if share ** lines.shape[1] < _CHANCE and share < 1 - 2 * _BACKGROUND / 3 else 0


def find_data_bar(frame: NDArray) -> Edges:
    """Return how many rows at the bottom or the top hold text on a constant background.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        A frame that is not constant.

    Returns
    -------
    Edges
    """
    bottom = _bar_height(frame[::-1])
    return Edges(0 if bottom else _bar_height(frame), bottom)


def _bar_height(rows: NDArray) -> int:
    """Count the rows at the beginning that mostly have one value, which others hardly have.

    Some have other values too, not only the last, in which a scan may have been stopped.
    """
    if rows.shape[1] < 2:
        return 0
    values, counts = np.unique(rows[:_THINNEST_BAR], return_counts=True)
    background = values[np.argmax(counts)]
    is_background = (rows == background).mean(axis=1) > _BACKGROUND
    n = len(rows) if is_background.all() else int(np.argmin(is_background))
    if not _THINNEST_BAR <= n <= _THICKEST_BAR * len(rows):
        return 0
    if (rows[: n - 1] == background).all():
        return 0
    following = rows[n : n + 2 * _NEXT]
    in_image = max(np.mean(following == background), np.mean(following[:, 1:] == following[:, :-1]))
    return n if in_image < _IN_IMAGE else 0


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
