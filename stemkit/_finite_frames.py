"""Frames that users pass as finite float32: bad pixels are filled, parts without data masked.

Estimators repair bad pixels here: those that are missing, which are NaN or masked, and those that
do not show the specimen, see :mod:`stemkit._bad_pixels`. Large parts of a frame are filled as well,
but hold no data, see :mod:`stemkit._missing`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import Float32Array, as_array
from ._bad_pixels import filled, find_bad, find_marks
from ._constraints import Constraints, Options
from ._labelled import unlabelled
from ._missing import Mask, missing_regions
from ._warnings import is_first, warn_caller
from .exceptions import BadPixelWarning

BadPixels = Literal["repair"] | None
BAD_PIXELS: Constraints = [None, Options("repair")]
# Of estimators that leave out pixels without data.
BadOrMissing = Literal["repair", "mask"] | None
BAD_OR_MISSING: Constraints = [None, Options("repair", "mask")]

# Largest share of a frame that is filled.
_MOST_MISSING = 0.5


def _as_real(values: ArrayLike, name: str) -> NDArray:
    if isinstance(values, str | os.PathLike):
        raise ValueError(
            f"{name} is a path, not frames; pass stemkit.io.read_stack({str(values)!r})."
        )
    if hasattr(values, "frames") and not hasattr(values, "__array__"):
        raise ValueError(f"{name} holds frames and more; pass {name}.frames.")
    array = as_array(values, name)
    if array.dtype == object:
        raise ValueError(
            f"{name} has dtype object, which frames of different shapes or mixed types give; "
            f"pass one array of numbers of shape (n_frames, H, W)."
        )
    if array.dtype.kind not in "buif":
        raise ValueError(
            f"{name} has dtype {array.dtype}, but frames are real numbers; "
            f"take the modulus or convert them first."
        )
    return array


def as_frames(
    X: ArrayLike,
    check_shape: Callable[[NDArray], None],
    *,
    name: str,
    bad_pixels: BadOrMissing = None,
    unit: str = "frame",
    lines: bool = True,
    leaves_out: bool = False,
) -> tuple[Float32Array, Mask | None]:
    """Return frames, or pairs of them, as finite float32, and a mask of pixels without data.

    Unless `bad_pixels` is None, bad pixels are filled, those without data too. The mask is None if
    there are none of these; `leaves_out` says in the warning that they are left out.
    """
    if bad_pixels is None or not _repairs.get():
        values, absent = X, None
        _check_unmasked(X, name)
    else:
        values, absent = split_missing(X, name)
    array = _as_real(values, name)
    check_shape(array)
    with np.errstate(over="ignore"):
        frames = np.ascontiguousarray(array, dtype=np.float32)
    _check_finite(frames, name, unit)
    if absent is None or not frames.size:
        return frames, None
    stack = frames.reshape(-1, *frames.shape[-2:])
    absent = absent.reshape(stack.shape)
    bad = find_bad(stack, absent | find_marks(array.reshape(stack.shape)), lines=lines)
    if not bad.any():
        return frames, None
    _check_enough(bad, name)
    repaired = np.stack([filled(*frame) for frame in zip(stack, bad, strict=True)])
    missing = bad if bad_pixels == "mask" else missing_regions(bad)
    _warn_of_bad_pixels(bad, absent, missing if leaves_out else None, name)
    return repaired.reshape(frames.shape), (
        missing.reshape(frames.shape) if missing.any() else None
    )


def split_missing(values: Any, name: str) -> tuple[NDArray, Mask]:
    """Return an array with zeros where values are NaN or masked, and a mask of these."""
    values = unlabelled(values, name)
    if isinstance(values, np.ma.MaskedArray):
        array, missing = np.asarray(values.data), np.ma.getmaskarray(values)
    else:
        array = as_array(values, name)
        masked = getattr(values, "mask", None) if hasattr(values, "frames") else None
        missing = np.zeros(array.shape, bool) if masked is None else masked
    # The smallest value is NaN if any is, and no mask as large as the frames is made.
    if array.dtype.kind == "f" and array.size and np.isnan(array.min()):
        missing = missing | np.isnan(array)
    return (np.where(missing, array.dtype.type(0), array) if missing.any() else array), missing


def _check_unmasked(values: ArrayLike, name: str) -> None:
    if hasattr(values, "frames") and np.any(getattr(values, "mask", None)):
        raise ValueError(
            f"{name} has masked pixels; fill them first, as "
            f"stemkit.preprocessing.BadPixelRepair does."
        )


_repairs: ContextVar[bool] = ContextVar("_repairs", default=True)


@contextmanager
def without_repair() -> Iterator[None]:
    """Let estimators use frames as they are, such as those that were repaired before."""
    token = _repairs.set(False)
    try:
        yield
    finally:
        _repairs.reset(token)


def _check_enough(bad: Mask, name: str) -> None:
    """Raise an error if a frame lacks so many pixels that it can't be filled."""
    share = bad.mean(axis=(1, 2))
    worst = int(share.argmax())
    if share[worst] > _MOST_MISSING:
        raise ValueError(
            f"{name} lacks {share[worst]:.0%} of the pixels of frame {worst}, which are NaN, "
            f"masked or not recorded; crop the frames to the recorded part, or leave it out."
        )


def _warn_of_bad_pixels(bad: Mask, absent: Mask, left_out: Mask | None, name: str) -> None:
    if not is_first(BadPixelWarning):
        return
    counts = bad.sum(axis=(1, 2))
    hit = np.flatnonzero(counts)
    first = int(hit[0])
    places = ", ".join(str((int(y), int(x))) for y, x in np.argwhere(bad[first])[:3])
    more = ", ..." if counts[first] > 3 else ""
    n_absent = int(absent.sum())
    kinds = [
        f"{n} {what}"
        for n, what in (
            (n_absent, "NaN or masked"),
            (int(counts.sum()) - n_absent, "stuck, hot, dead, hit by X-rays or not recorded"),
        )
        if n
    ]
    n_left_out = 0 if left_out is None else int(left_out.sum())
    done = "They were filled from their neighbours"
    if n_left_out == counts.sum():
        done = "They hold no data and were left out"
    elif n_left_out:
        done += f", but {n_left_out}, in large parts, hold no data and were left out"
    warn_caller(
        f"{name} has bad pixels in {len(hit)} of {len(bad)} frames: {'; '.join(kinds)}. The first "
        f"are in frame {first} at (y, x) = {places}{more}. {done}. "
        f"See stemkit.preprocessing.BadPixelRepair, or pass bad_pixels=None to use frames as they "
        f"are.",
        BadPixelWarning,
    )


def _check_finite(frames: Float32Array, name: str, unit: str) -> None:
    """Raise an error that names the first frame or pair that is not finite."""
    # The sum of a frame is finite only if all of its pixels are. A mask would need more memory.
    with np.errstate(over="ignore", invalid="ignore"):
        sums = frames.reshape(frames.shape[0], -1).sum(axis=1, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(sums))
    if bad.size:
        kind = "NaN" if np.isnan(frames[bad[0]]).any() else "inf or values beyond float32"
        raise ValueError(
            f"{name} contains {kind} in {unit} {bad[0]}; replace these pixels "
            f"(np.nan_to_num, or the median of their neighbours) or leave the {unit} out."
        )
