"""Resampling of frames under a motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._constraints import Constraints, Interval, Options, check_arguments
from .._constraints import Sequence as SequenceOf
from .._missing import Mask
from .._motion import Motion
from .._validation import Float32Array, check_frame, check_frames
from ._aligned_stack import AlignedStack
from ._canvas import (
    CANVAS,
    LEAST_WEIGHT,
    CanvasKind,
    check_memory,
    choose_canvas,
    source_of,
    warn_of_unseen,
)

_FILL: Constraints = [Options("edge", "reflect"), Interval(float, None, None)]


@check_arguments(
    motion=[Motion],
    fill=_FILL,
    order=[Interval(int, 0, 5)],
)
def warp(
    frame: Float32Array,
    motion: Motion,
    *,
    fill: str | float = "edge",
    order: int = 3,
) -> Float32Array:
    """Resample a first frame at the pixels of the second.

    ``warp(second, motion.inverse())`` aligns a second frame to the first.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32
        The frame to move.
    motion : Motion
        From the frame given to the frame returned.
    fill : {"edge", "reflect"} or float, default="edge"
        Values outside the frame: those of its edge, its mirror image or a constant.
    order : int, default=3
        Order of the interpolating spline, 0 to 5.

    Returns
    -------
    ndarray of shape (H, W), float32

    Raises
    ------
    InvalidParameterError
        If an argument is not one of those listed.
    ValueError
        If ``frame`` is not finite or not of the shape of ``motion``.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.registration import Motion, warp
    >>> frame = np.zeros((5, 5), dtype="float32")
    >>> frame[1, 1] = 1
    >>> moved = warp(frame, Motion((5, 5), drift=(2, 1)), order=1)
    >>> [int(index) for index in np.unravel_index(moved.argmax(), moved.shape)]
    [3, 2]
    """
    frame = check_frame(frame)
    _check_shape(frame, motion)
    modes: dict[object, str] = {"edge": "nearest", "reflect": "mirror"}
    mode = modes.get(fill, "constant")
    back = motion.inverse()
    offset = back.center + back.drift - back.matrix @ back.center
    return ndimage.affine_transform(
        frame,
        back.matrix,
        offset,
        order=order,
        mode=mode,
        cval=float(fill) if mode == "constant" else 0.0,
    )


@check_arguments(motion=[Motion], margin=[SequenceOf(Interval(int, 0, None, unit="px"), 2)])
def coverage(motion: Motion, *, margin: tuple[int, int] = (0, 0)) -> NDArray[np.bool_]:
    """Return which pixels of the second frame lie inside the first.

    Parameters
    ----------
    motion : Motion
        From the first frame to the second.
    margin : tuple of int, default=(0, 0)
        Rows and columns along the borders of either frame, in px, to leave out.

    Returns
    -------
    ndarray of shape (H, W), bool

    Raises
    ------
    InvalidParameterError
        If ``motion`` is no Motion, or ``margin`` is not two ints of at least 0.

    Examples
    --------
    >>> from stemkit.registration import Motion, coverage
    >>> coverage(Motion((3, 4), drift=(0, 1))).astype(int)
    array([[0, 1, 1, 1],
           [0, 1, 1, 1],
           [0, 1, 1, 1]])
    """
    height, width = motion.shape
    back = motion.inverse()
    rows = np.arange(height)[:, None] - back.center[0]
    columns = np.arange(width)[None, :] - back.center[1]
    inside = np.zeros(motion.shape, dtype=bool)
    inside[margin[0] : height - margin[0], margin[1] : width - margin[1]] = True
    for axis, (size, rim) in enumerate(zip(motion.shape, margin, strict=True)):
        source = back.matrix[axis, 0] * rows + back.matrix[axis, 1] * columns
        source += back.center[axis] + back.drift[axis]
        # The tolerance keeps rounding from excluding a border row of an unmoved frame.
        inside &= (source >= rim - 1e-6) & (source <= size - 1 - rim + 1e-6)
    return inside


def holds_data(
    motion: Motion, first_lacks: Mask | None, second_lacks: Mask | None
) -> NDArray[np.bool_]:
    """Return at which pixels of a first frame it and the second hold data.

    Parameters
    ----------
    motion : Motion
        From the first frame to the second.
    first_lacks, second_lacks : ndarray of shape (H, W), bool, or None
        Pixels without data inside either frame.

    Returns
    -------
    ndarray of shape (H, W), bool
    """
    back = motion.inverse()
    inside = coverage(back)
    if first_lacks is not None:
        inside &= ~first_lacks
    if second_lacks is not None and second_lacks.any():
        inside &= warp(second_lacks.astype(np.float32), back, fill=0.0, order=1) < LEAST_WEIGHT
    return inside


def align(
    second: Float32Array, motion: Motion, missing: Sequence[Mask | None] = (None, None)
) -> tuple[Float32Array, NDArray[np.bool_]]:
    """Resample a second frame at the pixels of the first, mirrored beyond its border.

    Parameters
    ----------
    second : ndarray of shape (H, W), float32
        The frame.
    motion : Motion
        From the first frame to the second.
    missing : sequence of two ndarray of shape (H, W), bool, or None
        Pixels without data in the first frame and in the second.

    Returns
    -------
    aligned : ndarray of shape (H, W), float32
        The frame.
    overlap : ndarray of shape (H, W), bool
        Where both frames hold data.
    """
    return warp(second, motion.inverse(), fill="reflect"), holds_data(motion, *missing)


@check_arguments(
    motions=[SequenceOf(Motion)],
    fill=_FILL,
    canvas=CANVAS,
)
def align_stack(
    frames: Float32Array,
    motions: Sequence[Motion],
    *,
    fill: str | float = "edge",
    canvas: CanvasKind = "first",
) -> AlignedStack:
    """Align a stack to its first frame.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, H, W), float32
        The series.
    motions : sequence of Motion
        From the first frame to each.
    fill : {"edge", "reflect"} or float, default="edge"
        Values where a frame holds no data, as for :func:`warp`.
    canvas : {"first", "union", "common"}, default="first"
        Pixels of the aligned frames: those of the first frame, of all frames, or the largest
        rectangle that all frames show.

    Returns
    -------
    AlignedStack of shape (n_frames, H, W), float32
        An array; its ``mask`` is True where a frame holds data, and its ``origin`` is the position
        (y, x) of its first pixel in px of the first frame. H and W are those of the canvas.

    Raises
    ------
    MemoryError
        If the canvas is too large, as after a wrong drift.
    ValueError
        If ``frames`` are not finite, ``frames`` and ``motions`` differ in number or shape,
        ``fill`` is invalid, or no pixel is common to all frames.

    Warns
    -----
    OutOfViewWarning
        If frames show nothing of the first frame's view.

    Examples
    --------
    >>> from stemkit.datasets import make_llzo_series
    >>> from stemkit.registration import align_stack
    >>> series = make_llzo_series(3, shape=(64, 64), random_state=0)
    >>> aligned = align_stack(series.frames, series.motion)
    >>> aligned.shape, aligned.mask[0].all().item()
    ((3, 64, 64), True)
    """
    frames = check_frames(frames, name="frames")
    if len(frames) != len(motions):
        raise ValueError(
            f"frames holds {len(frames)} frames and motions {len(motions)} motions; "
            f"pass one motion for each frame."
        )
    field = choose_canvas(motions, canvas)
    if canvas == "first":
        warn_of_unseen(motions, field)
    else:
        check_memory(field, 5.0 * len(frames) * field.shape[0] * field.shape[1], canvas)
    aligned = np.empty((len(frames), *field.shape), np.float32)
    mask = np.empty(aligned.shape, dtype=bool)
    for index, (frame, motion) in enumerate(zip(frames, motions, strict=True)):
        if canvas == "first":
            back = motion.inverse()
            aligned[index] = warp(frame, back, fill=fill)
            mask[index] = coverage(back)
        else:
            _check_shape(frame, motion)
            source = source_of(motion, field, field.whole())
            mask[index] = source.is_inside(motion.shape)
            # A constant beyond the border would enter the splines of pixels inside.
            mode = "mirror" if fill == "reflect" else "nearest"
            aligned[index] = source.sample(frame, order=3, mode=mode)
            if not isinstance(fill, str):
                aligned[index][~mask[index]] = fill
    return AlignedStack(aligned, mask, field.origin)


def _check_shape(frame: NDArray, motion: Motion) -> None:
    if frame.shape != motion.shape:
        raise ValueError(
            f"frame has shape {frame.shape}, but motion is of frames of shape "
            f"{motion.shape}; use Motion.rescaled for frames of another size."
        )
