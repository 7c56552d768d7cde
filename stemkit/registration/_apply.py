"""Motions applied to data that were recorded along with the frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .._arrays import as_array
from .._constraints import Interval, check_arguments
from .._constraints import Sequence as SequenceOf
from .._motion import Motion
from ._aligned_stack import AlignedStack
from ._canvas import (
    CANVAS,
    CanvasKind,
    check_memory,
    choose_canvas,
    source_of,
    warn_of_unseen,
)


@check_arguments(
    motions=[SequenceOf(Motion)],
    canvas=CANVAS,
    fill=[Interval(float, None, None)],
    order=[Interval(int, 0, 5)],
)
def apply_motions(
    array: ArrayLike,
    motions: Sequence[Motion],
    *,
    canvas: CanvasKind = "first",
    fill: float = 0.0,
    order: int = 1,
) -> AlignedStack:
    """Align data with further axes, such as spectrum images or diffraction patterns, to a series.

    Parameters
    ----------
    array : array-like of shape (n_frames, H, W, ...)
        Data at each pixel of each frame: a number, a spectrum or a pattern, of any real dtype.
    motions : sequence of Motion
        From the first frame to each, of frames of shape (H, W). :meth:`Motion.rescaled` makes them
        of those of frames with smaller or larger pixels.
    canvas : {"first", "union", "common"}, default="first"
        Pixels of the result, as in :func:`align_stack`.
    fill : float, default=0.0
        Value where a frame holds no data.
    order : int, default=1
        Order of the interpolating spline, 0 to 5. From 2 on, few counts can become negative.

    Returns
    -------
    AlignedStack of shape (n_frames, H, W, ...), float32
        An array; its ``mask``, True where a frame holds data, is of the same shape and read-only.

    Raises
    ------
    InvalidParameterError
        If an argument is not one of those listed.
    MemoryError
        If the result is too large.
    ValueError
        If ``array`` is not finite, ``array`` and ``motions`` differ in number or shape, or no
        pixel is common to all frames.

    Warns
    -----
    OutOfViewWarning
        If frames show nothing of the first frame's view.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.registration import Motion, apply_motions
    >>> motions = [Motion((16, 16)), Motion((16, 16), drift=(2, -1))]
    >>> spectra = np.zeros((2, 16, 16, 40))
    >>> spectra[0, 5, 7, 11] = spectra[1, 7, 6, 11] = 1
    >>> aligned = apply_motions(spectra, motions)
    >>> aligned.shape, bool((aligned[0] == aligned[1]).all())
    ((2, 16, 16, 40), True)
    """
    values = as_array(array, "array")
    shape = motions[0].shape
    if values.ndim < 3 or values.dtype.kind not in "buif":
        raise ValueError(
            f"array has shape {values.shape} and dtype {values.dtype}; pass real numbers of shape "
            f"(n_frames, H, W, ...)."
        )
    if len(values) != len(motions) or values.shape[1:3] != shape:
        raise ValueError(
            f"array has shape {values.shape} for {len(motions)} motions of frames of shape "
            f"{shape}; pass (n_frames, H, W, ...), or Motion.rescaled for pixels of another size."
        )
    further = values.shape[3:]
    n_channels = int(np.prod(further))
    field = choose_canvas(motions, canvas)
    check_memory(field, 4.0 * len(values) * n_channels * field.shape[0] * field.shape[1], canvas)
    if canvas == "first":
        warn_of_unseen(motions, field)
    aligned = np.full((len(values), *field.shape, n_channels), fill, dtype=np.float32)
    mask = np.zeros((len(values), *field.shape), dtype=bool)
    for index, motion in enumerate(motions):
        window = field.window(motion)
        source = source_of(motion, field, window)
        inside = source.is_inside(shape)
        mask[index][window] = inside
        channels = values[index].reshape(*shape, n_channels)
        if not np.isfinite(channels).all():
            raise ValueError(
                f"array contains NaN or inf in frame {index}; replace these values or leave the "
                f"frame out."
            )
        for channel in range(n_channels):
            part = np.ascontiguousarray(channels[:, :, channel], dtype=np.float32)
            sampled = source.sample(part, order=order)
            aligned[index][window][..., channel] = np.where(inside, sampled, np.float32(fill))
    shown = mask.reshape(*mask.shape, *[1] * len(further))
    result = aligned.reshape(len(values), *field.shape, *further)
    return AlignedStack(result, np.broadcast_to(shown, result.shape), field.origin)
