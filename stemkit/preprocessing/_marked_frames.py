"""Thumbnails of frames with what was found in them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .._edges import Edges
from ..io._thumbnail import to_grey

_FIXED, _SPIKE, _SATURATED, _MISSING, _BAND = (
    (255, 150, 0),
    (255, 40, 40),
    (255, 0, 255),
    (0, 200, 200),
    (60, 110, 255),
)
# What the colours mean, and the findings that they show.
LEGEND = {
    "fixed pixels": (_FIXED, ("fixed pixels",)),
    "spikes, bad rows and columns": (_SPIKE, ("spikes", "bad rows", "bad columns")),
    "saturated": (_SATURATED, ("saturation",)),
    "missing or marked": (_MISSING, ("missing pixels", "detector marks")),
    "unrecorded, data bar or scale bar": (_BAND, ("unrecorded edges", "data bar", "scale bar")),
}
# Distance of a mark from its pixel in pixels of the picture, and the side of a picture.
_RADIUS, _SIDE = 4, 256

Positions = NDArray[np.intp]


def _none() -> Positions:
    return np.empty((0, 2), np.intp)


@dataclass(frozen=True)
class Places:
    """Where findings lie in a frame, in its pixels.

    Attributes
    ----------
    spikes, missing, scale_bar, saturated : ndarray of shape (n, 2)
        Pixels (y, x).
    rows, columns : ndarray of shape (n,)
        Whole lines that are bad.
    edges : Edges
        Lines that are no image.
    """

    spikes: Positions = field(default_factory=_none)
    missing: Positions = field(default_factory=_none)
    scale_bar: Positions = field(default_factory=_none)
    saturated: Positions = field(default_factory=_none)
    rows: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    columns: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    edges: Edges = field(default_factory=Edges)


def draw(frame: NDArray, places: Places, fixed: Positions) -> NDArray[np.uint8]:
    """Return a thumbnail (h, w, 3) of a frame with its findings.

    Parameters
    ----------
    frame : ndarray of shape (H, W)
        The frame; NaN is black.
    places : Places
        What was found in this frame.
    fixed : ndarray of shape (n, 2)
        Pixels that are bad in all frames.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
    """
    height, width = frame.shape
    inside = places.edges.inner((height, width))
    step = -(-max(frame.shape) // _SIDE)
    enlarged = max(1, _SIDE // max(frame.shape))
    # What is no image has no influence on the contrast.
    framed = np.full(frame.shape, np.nan)
    framed[inside] = frame[inside]
    framed[tuple(places.scale_bar.T)] = np.nan
    grey = to_grey(_reduced(framed, step)).repeat(enlarged, 0).repeat(enlarged, 1)
    picture = np.repeat(grey[..., np.newaxis], 3, axis=2)

    def scaled(positions: NDArray) -> NDArray:
        return positions // step * enlarged + enlarged // 2

    def fill(positions: Positions, color: tuple[int, int, int]) -> None:
        mask = np.zeros(grey.shape, bool)
        mask[tuple((positions // step).T)] = True
        if enlarged > 1:
            small = mask[: -(-height // step), : -(-width // step)]
            mask = small.repeat(enlarged, 0).repeat(enlarged, 1)
        picture[mask] = color

    outside = np.ones(frame.shape, bool)
    outside[inside] = False
    picture[outside[::step, ::step].repeat(enlarged, 0).repeat(enlarged, 1)] = _BAND
    fill(places.scale_bar, _BAND)
    fill(places.saturated, _SATURATED)
    fill(places.missing, _MISSING)
    picture[scaled(places.rows)] = _SPIKE
    picture[:, scaled(places.columns)] = _SPIKE
    for positions, color in ((places.spikes, _SPIKE), (fixed, _FIXED)):
        for y, x in scaled(positions):
            _outline(picture, int(y), int(x), color)
    return picture


def _reduced(frame: NDArray, step: int) -> NDArray:
    """Return the means over parts of a frame, which show more of it than single pixels."""
    if step == 1:
        return frame
    height, width = frame.shape
    padding = [(0, -length % step) for length in (height, width)]
    padded = np.pad(frame, padding, mode="edge")
    return padded.reshape(-(-height // step), step, -(-width // step), step).mean(axis=(1, 3))


def _outline(picture: NDArray[np.uint8], y: int, x: int, color: tuple[int, int, int]) -> None:
    """Draw a square around a pixel, as far as it lies in the picture."""
    height, width = picture.shape[:2]
    rows = slice(max(0, y - _RADIUS), min(height, y + _RADIUS + 1))
    columns = slice(max(0, x - _RADIUS), min(width, x + _RADIUS + 1))
    for row in (y - _RADIUS, y + _RADIUS):
        if 0 <= row < height:
            picture[row, columns] = color
    for column in (x - _RADIUS, x + _RADIUS):
        if 0 <= column < width:
            picture[rows, column] = color
