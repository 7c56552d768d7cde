"""The field of pixels that aligned frames are laid on, at the pixels of the first frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._constraints import Constraints, Options, shorten
from .._missing import Mask
from .._motion import Motion
from .._validation import Float32Array
from .._warnings import warn_caller
from ..exceptions import OutOfViewWarning

CanvasKind = Literal["first", "union", "common"]
CANVAS: Constraints = [Options("first", "union", "common")]
# Keeps rounding from excluding a border row of an unmoved frame.
_TOLERANCE = 1e-6
# Weight of pixels without data in an interpolated one, from which on it holds no data itself.
LEAST_WEIGHT = 0.01
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Canvas:
    """A field of pixels.

    Attributes
    ----------
    shape : tuple of int
        (H, W).
    origin : tuple of int
        Position (y, x) of its first pixel in px of the first frame.
    """

    shape: tuple[int, int]
    origin: tuple[int, int] = (0, 0)

    def window(self, motion: Motion) -> Window:
        """Return the part of the canvas that a frame may cover; it can be empty."""
        low, high = _footprint(motion)
        first = np.clip(np.ceil(low - _TOLERANCE) - self.origin, 0, self.shape).astype(int)
        after = np.floor(high + _TOLERANCE) + 1 - self.origin
        after = np.clip(after, first, np.maximum(self.shape, first)).astype(int)
        y, x = (slice(int(a), int(b)) for a, b in zip(first, after, strict=True))
        return y, x

    def whole(self) -> Window:
        """Return the window of all of its pixels."""
        return slice(0, self.shape[0]), slice(0, self.shape[1])


class Source(NamedTuple):
    """Where the pixels of a window of the canvas lie in a frame: ``matrix @ pixel + offset``."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    shape: tuple[int, int]

    def places(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return y and x in the frame, each of the window's shape."""
        rows, columns = np.arange(self.shape[0])[:, None], np.arange(self.shape[1])[None, :]
        y, x = (
            self.matrix[axis, 0] * rows + self.matrix[axis, 1] * columns + self.offset[axis]
            for axis in (0, 1)
        )
        return y, x

    def is_inside(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which pixels of the window a frame of a shape shows."""
        inside = np.ones(self.shape, dtype=bool)
        for place, side in zip(self.places(), shape, strict=True):
            inside &= (place >= -_TOLERANCE) & (place <= side - 1 + _TOLERANCE)
        return inside

    def holds_data(self, missing: Mask) -> Mask:
        """Return at which pixels of the window a frame that lacks some pixels holds data."""
        share = self.sample(missing.astype(np.float32), order=1)
        return self.is_inside((missing.shape[0], missing.shape[1])) & (share < LEAST_WEIGHT)

    def sample(self, frame: NDArray, *, order: int, mode: str = "nearest") -> Float32Array:
        """Interpolate a frame at the pixels of the window."""
        return ndimage.affine_transform(
            frame,
            self.matrix,
            self.offset,
            output_shape=self.shape,
            output=np.float32,
            order=order,
            mode=mode,
        )


def source_of(motion: Motion, canvas: Canvas, window: Window) -> Source:
    """Return where the pixels of a window lie in the frame to which the motion leads."""
    start = np.array([canvas.origin[axis] + window[axis].start for axis in (0, 1)], dtype=float)
    shape = (window[0].stop - window[0].start, window[1].stop - window[1].start)
    offset = motion.center + motion.drift + motion.matrix @ (start - motion.center)
    return Source(motion.matrix, offset, shape)


def choose_canvas(motions: Sequence[Motion], kind: CanvasKind) -> Canvas:
    """Return the canvas for frames that moved so.

    Parameters
    ----------
    motions : sequence of Motion
        From the first frame to each.
    kind : {"first", "union", "common"}
        The pixels of the first frame, the smallest rectangle around all frames, or the largest
        one that all frames show.

    Returns
    -------
    Canvas

    Raises
    ------
    ValueError
        If no pixel is common to all frames.
    """
    if kind == "first":
        return Canvas(motions[0].shape)
    if kind == "union":
        return _around(motions)
    canvas = _around(motions[:1])
    shown = np.ones(canvas.shape, dtype=bool)
    for motion in motions:
        shown &= source_of(motion, canvas, canvas.whole()).is_inside(motion.shape)
        if not shown.any():
            raise ValueError(
                'canvas="common" is empty: no pixel is shown by all frames. Leave out the frames '
                'that moved farthest, or pass canvas="union".'
            )
    y, x = largest_rectangle(shown)
    origin = (canvas.origin[0] + y.start, canvas.origin[1] + x.start)
    return Canvas((y.stop - y.start, x.stop - x.start), origin)


def largest_rectangle(shown: NDArray[np.bool_]) -> Window:
    """Return the largest rectangle within a convex region that is not empty."""
    rows = np.flatnonzero(shown.any(axis=1))
    left = shown[rows].argmax(axis=1)
    right = shown.shape[1] - shown[rows, ::-1].argmax(axis=1)
    best, found = 0, (0, 0)
    for first in range(len(rows)):
        # In a convex region, the rows between two others are as wide as both have in common.
        widths = np.minimum(right[first], right[first:]) - np.maximum(left[first], left[first:])
        areas = widths * np.arange(1, len(widths) + 1)
        if (area := int(areas.max())) > best:
            best, found = area, (first, first + int(areas.argmax()))
    first, last = found
    x = slice(int(max(left[first], left[last])), int(min(right[first], right[last])))
    return slice(int(rows[first]), int(rows[last]) + 1), x


def check_memory(canvas: Canvas, n_bytes: float, kind: CanvasKind) -> None:
    """Raise MemoryError if an array on the canvas would take more than half of the free memory."""
    import psutil

    limit = psutil.virtual_memory().available / 2
    if n_bytes > limit:
        # A drift beyond all bounds gives sides of hundreds of digits.
        height, width = (str(side) if side < 1e9 else f"{side:.3g}" for side in canvas.shape)
        advice = (
            'pass canvas="first", or leave out the frames whose drift is wrong'
            if kind == "union"
            else "crop the frames"
        )
        raise MemoryError(
            f'canvas="{kind}" has {height} x {width} px and would take {n_bytes / 1e9:.3g} GB; '
            f"half of the free memory is {limit / 1e9:.3g} GB: {advice}."
        )


def warn_of_unseen(motions: Sequence[Motion], canvas: Canvas) -> None:
    """Warn of frames that show nothing of the canvas, which is then the first frame's view."""
    unseen = []
    for index, motion in enumerate(motions):
        window = canvas.window(motion)
        if not source_of(motion, canvas, window).is_inside(motion.shape).any():
            unseen.append(index)
    if unseen:
        warn_caller(
            f"Frames {shorten(unseen)} show nothing of the first frame's view, since the specimen "
            f'moved out of it: pass canvas="union" for a canvas that holds all frames, or leave '
            f"them out.",
            OutOfViewWarning,
        )


def _around(motions: Sequence[Motion]) -> Canvas:
    footprints = [_footprint(motion) for motion in motions]
    low = np.floor(np.min([low for low, _ in footprints], axis=0) + _TOLERANCE)
    high = np.ceil(np.max([high for _, high in footprints], axis=0) - _TOLERANCE)
    (y0, x0), (y1, x1) = low, high
    return Canvas((int(y1 - y0) + 1, int(x1 - x0) + 1), (int(y0), int(x0)))


def _footprint(motion: Motion) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest (y, x) of a frame's corners, in px of the first frame."""
    height, width = motion.shape
    corners = [(y, x) for y in (0, height - 1) for x in (0, width - 1)]
    places = motion.inverse().apply(corners)
    return places.min(axis=0), places.max(axis=0)
