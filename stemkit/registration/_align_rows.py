"""Alignment of frames whose rows were displaced one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .._constraints import Interval, Options, check_arguments
from .._missing import Mask
from .._validation import check_frames
from ._aligned_stack import AlignedStack
from ._canvas import CANVAS, CanvasKind, check_memory, largest_rectangle
from ._canvas import Canvas as Field
from ._row_fit import choose_canvas
from ._row_paths import RowPaths
from ._row_resampling import Canvas, straighten, turn


@check_arguments(
    rows=[RowPaths],
    canvas=CANVAS,
    fill=[Options("edge"), Interval(float, None, None)],
)
def align_rows(
    frames: ArrayLike,
    rows: RowPaths,
    *,
    canvas: CanvasKind = "first",
    fill: str | float = "edge",
) -> AlignedStack:
    """Align the rows of a series to the specimen, each resampled once.

    Parameters
    ----------
    frames : array-like of shape (n_frames, H, W)
        The series.
    rows : RowPaths
        The result of :func:`register_rows`.
    canvas : {"first", "union", "common"}, default="first"
        Pixels of the result: as many as those of the first frame, those of all frames, or a large
        rectangle that all frames show.
    fill : "edge" or float, default="edge"
        Values where a frame holds no data; "edge" repeats the nearest pixel that does.

    Returns
    -------
    AlignedStack of shape (n_frames, H, W), float32
        An array; its ``mask`` is True where a frame holds data, and its ``origin`` is the position
        (y, x) of its first pixel on the specimen.

    Raises
    ------
    InvalidParameterError
        If an argument is not one of those listed.
    MemoryError
        If the canvas is too large, as after a wrong drift.
    ValueError
        If ``frames`` are not finite, ``rows`` are of other frames, or no pixel is common to all.

    Examples
    --------
    >>> from stemkit.datasets import make_llzo_series
    >>> from stemkit.registration import align_rows, register_rows
    >>> series = make_llzo_series(3, shape=(128, 128), random_state=0)
    >>> aligned = align_rows(series.frames, register_rows(series.frames))
    >>> aligned.shape, bool(aligned.mask.mean() > 0.9)
    ((3, 128, 128), True)
    """
    stack = check_frames(frames, name="frames")
    return straighten_series(stack, rows, canvas=canvas, fill=fill)


def straighten_series(
    frames: NDArray,
    rows: RowPaths,
    *,
    canvas: CanvasKind,
    fill: str | float = 0.0,
    missing: Mask | None = None,
) -> AlignedStack:
    """Align the rows of checked frames, of which some pixels may hold no data."""
    if rows.path.shape[:2] != frames.shape[:2]:
        raise ValueError(
            f"rows are the paths of {rows.path.shape[0]} frames of {rows.path.shape[1]} rows, but "
            f"frames has shape {frames.shape}; pass the frames that they were estimated from."
        )
    shape = (frames.shape[1], frames.shape[2])
    field = Canvas(shape, (0, 0))
    # Turned frames of unequal sides are laid on a square first.
    turned = bool(rows.scan_direction.any())
    if canvas != "first" or turned:
        field = choose_canvas(shape, rows.path, turned)
    n_bytes = 5.0 * len(frames) * field.shape[0] * field.shape[1]
    check_memory(Field(field.shape), n_bytes, canvas)
    aligned = np.empty((len(frames), *field.shape), dtype=np.float32)
    mask = np.empty(aligned.shape, dtype=bool)
    for index, (frame, path) in enumerate(zip(frames, rows.path, strict=True)):
        use = None if missing is None else ~missing[index]
        image, known = straighten(frame, path, field, use=use)
        if angle := float(rows.scan_direction[index]):
            image, known = turn(image, -angle), turn(known, -angle)
        aligned[index], mask[index] = image, known
    window = _window(mask, field, canvas)
    aligned, mask = aligned[:, *window], mask[:, *window]
    _fill(aligned, mask, fill)
    origin = (int(window[0].start) - field.margin[0], int(window[1].start) - field.margin[1])
    return AlignedStack(np.ascontiguousarray(aligned), np.ascontiguousarray(mask), origin)


def _window(mask: Mask, field: Canvas, canvas: CanvasKind) -> tuple[slice, slice]:
    """Return the part of the canvas that was asked for."""
    above, left = field.margin
    if canvas == "first":
        height, width = field.frame
        return slice(above, above + height), slice(left, left + width)
    if canvas == "union":
        shown: Mask = np.any(mask, axis=0)
        if not shown.any():
            return slice(above, above + 1), slice(left, left + 1)
        rows, columns = (np.flatnonzero(np.any(shown, axis=axis)) for axis in (1, 0))
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    shown = np.all(mask, axis=0)
    if not shown.any():
        raise ValueError(
            'canvas="common" is empty: no pixel is shown by all frames. Leave out the frames '
            'that moved farthest, or pass canvas="union".'
        )
    y, x = largest_rectangle(shown)
    # Borders of displaced rows are ragged.
    while y.stop - y.start > 2 and x.stop - x.start > 2 and not shown[y, x].all():
        y, x = slice(y.start + 1, y.stop - 1), slice(x.start + 1, x.stop - 1)
    return y, x


def _fill(aligned: NDArray[np.float32], mask: Mask, fill: str | float) -> None:
    """Set pixels without data."""
    for frame, known in zip(aligned, mask, strict=True):
        if not isinstance(fill, str):
            frame[~known] = fill
        elif known.any() and not known.all():
            nearest = ndimage.distance_transform_edt(
                ~known, return_distances=False, return_indices=True
            )
            frame[:] = frame[tuple(nearest)]
