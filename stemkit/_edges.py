"""Find the parts at the edges of a frame that are no image: not recorded, or bars with text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Chance below which a line of equal values is taken for one that was not recorded, and the largest
# share of equal pixels in the image from which the chance is told.
_CHANCE, _SPARSE = 1e-6, 2 / 3
# Share of the most common value in a line of a data bar, and among the image next to it at most.
_BACKGROUND, _IN_IMAGE = 0.5, 0.1
# Fewest pixels of letters that are not smoothed, and the largest ratio of their share in the image
# next to the bar to that in the bar.
_LETTERS, _IN_LETTERS = 16, 0.25
# Least thickness of a data bar in px, and largest share of the frame.
_THINNEST_BAR, _THICKEST_BAR = 4, 0.3
# Lines that are compared with a band.
_NEXT = 16
# Least number of lines of a thick band, also as a share of the frame, and the least standard
# deviation of the first line of the image, in that of others.
_LEAST_LINES, _LEAST_SHARE, _BEGINS = 4, 0.02, 0.3
# Differences in standard deviations that are those of rounding, or of the tail of an atom.
_ROUNDING = 1e-3
# Least number of lines of a frame, of which it can be told without noise.
_LEAST_SIDE = 32
# A thick band has so many times as many lines as the longest one inside the image, and more; the
# lines next to it differ from it by this share of what lines do in general, of a specimen that does
# not fade out.
_LONGER, _MORE = 3, 4
_BESIDE, _FADES = 8, 0.6


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


def find_edges(frame: NDArray) -> tuple[Edges, int, int]:
    """Return the lines at the edges of a frame that are no image.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        A frame.

    Returns
    -------
    edges : Edges
        Number of lines at each side; none if the frame is constant.
    unrecorded, data_bar : int
        How many of them were not recorded, and how many hold text.
    """
    text = find_data_bar(frame)
    blank = find_unrecorded(frame[text.inner(frame.shape)])
    edges = Edges(*(a + b for a, b in zip(blank, text, strict=True)))
    return edges, sum(blank), sum(text)


def find_unrecorded(frame: NDArray) -> Edges:
    """Return how many rows and columns at the edges are constant while those next to them are not.

    A scan that was stopped ends at a line that varies like the others, or is as much brighter as
    these vary. Vacuum without counts begins where the specimen gets dark, and frames of few counts
    have constant lines inside as well.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        A frame.

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
    if min(lines.shape) < 2 or (lines[0] != lines[0, 0]).any():
        return 0
    differs = (lines != lines[:1, :1]).any(axis=1)
    n = int(np.argmax(differs)) if differs.any() else len(lines)
    if n == len(lines):
        return 0
    # The last run of constant lines may be a band at the other side.
    image = lines[n : np.flatnonzero(differs)[-1] + 1]
    # A vacuum without counts is constant too, and so are pictures without noise, which begin with
    # the tail of an atom.
    parts = image[:1], image[:_NEXT]
    least = _ROUNDING * float(np.std(lines, dtype=np.float64))
    equal = max(
        max(
            np.mean(np.abs(part - lines[0, 0]) <= least),
            np.mean(np.abs(part[:, 1:] - part[:, :-1]) <= least),
        )
        for part in parts
    )
    if equal ** lines.shape[1] < _CHANCE and equal < _SPARSE:
        return n
    # In a small picture without noise an atom may begin anywhere.
    if len(lines) < _LEAST_SIDE or n < max(_LEAST_LINES, _LEAST_SHARE * len(lines)):
        return 0
    if not _begins_at_once(image, lines[0, 0]):
        return 0
    inside = int(np.diff(np.flatnonzero(differs)).max(initial=1)) - 1
    contrast = np.abs(image - lines[0, 0]).mean(axis=1, dtype=np.float64)
    fades = contrast[:_BESIDE].mean() < _FADES * contrast.mean()
    return 0 if fades or n < _LONGER * inside + _MORE else n


def _begins_at_once(image: NDArray, value: float) -> bool:
    """Return whether the first line varies like the others, or is as far from the band's value.

    The tails of single atoms in a picture without noise do not.
    """
    spread = image.std(axis=1, dtype=np.float64)
    typical = float(np.median(spread))
    # Between the planes of a lattice a row hardly varies, but it has a background.
    step = abs(float(np.median(image[0])) - float(value))
    return typical > 0 and bool(spread[0] > _BEGINS * typical or step > typical)


def find_data_bar(frame: NDArray) -> Edges:
    """Return how many rows at the bottom or the top hold text on a constant background.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        A frame.

    Returns
    -------
    Edges
    """
    if len(frame) < _LEAST_SIDE:
        return Edges()
    extremes = frame.min(), frame.max()
    for find in (_bar_height, lambda rows: _height_of_letters(rows, extremes)):
        bottom = find(frame[::-1])
        top = 0 if bottom else find(frame)
        if top or bottom:
            return Edges(top, bottom)
    return Edges()


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


def _height_of_letters(rows: NDArray, extremes: tuple[float, float]) -> int:
    """Count the rows at the beginning with letters that are the darkest or brightest of the frame.

    The image may have the background of the bar, as at few counts, or the value of the letters, but
    hardly both.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, length)
        Rows of a frame.
    extremes : tuple of float
        The least and the largest value of the frame.
    """
    background = rows[0, 0]
    in_bar = np.isin(rows, (background, *extremes)).all(axis=1)
    in_bar &= (rows == background).mean(axis=1) > _BACKGROUND
    n = len(rows) if in_bar.all() else int(np.argmin(in_bar))
    letters = rows[:n] != background
    # A bar ends with rows of its background, and so may an image of few counts begin.
    n = int(np.flatnonzero(letters.any(axis=1)).max(initial=-1)) + 1
    while n < len(rows) and (rows[n] == background).all():
        n += 1
    if not _THINNEST_BAR <= n <= _THICKEST_BAR * len(rows):
        return 0
    share = letters[:n].mean()
    if letters[:n].sum() < _LETTERS or share > 1 - _BACKGROUND:
        return 0
    following = rows[n : n + 2 * _NEXT]
    levels = [value for value in extremes if value != background]
    only_here = np.isin(following, levels).mean() < _IN_LETTERS * share or np.mean(
        following == background
    ) < _IN_LETTERS * (1 - share)
    return n if only_here else 0
