"""Checks that all functions of frames share."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from numbers import Real
from typing import Any, Concatenate, ParamSpec

import numpy as np

from ..._arrays import Frames, as_frames, is_finite, is_tensor
from ..._constraints import Constraints, Interval, check_arguments, shorten

_P = ParamSpec("_P")

# Beyond these limits squares overflow, or float32 has no digits for fractions of a pixel.
_MOST_COUNTS, _MOST_PIXELS = 1e18, 1e6


def not_negative(unit: str = "") -> Interval:
    """Return the constraint on strengths in the frames' units, or in shares of a signal."""
    return Interval(float, 0, _MOST_COUNTS, unit=unit)


def positive(unit: str = "") -> Interval:
    """Return the constraint on gains, doses and signals."""
    return Interval(float, 0, _MOST_COUNTS, closed="right", unit=unit)


def finite(unit: str = "") -> Interval:
    """Return the constraint on offsets."""
    return Interval(float, -_MOST_COUNTS, _MOST_COUNTS, unit=unit)


SHARE = Interval(float, 0, 1)
DISPLACEMENT = Interval(float, 0, _MOST_PIXELS, unit="px")
DECAY = Interval(float, 0, None, closed="neither", unit="px")
# Over a shorter length pixels can't vary smoothly.
SMOOTH_LENGTH = Interval(float, 1, _MOST_PIXELS, unit="px")


def on_frames(
    **constraints: Constraints,
) -> Callable[
    [Callable[Concatenate[Frames, _P], Frames]], Callable[Concatenate[Frames, _P], Frames]
]:
    """Decorate a function of frames: check its arguments and frames, and that its result is finite.

    Parameters
    ----------
    **constraints : collection of constraints
        For each argument to check, its constraints; see :mod:`stemkit._constraints`.

    Returns
    -------
    callable
        The decorator. The function is given finite float32 frames (..., H, W).
    """

    def decorate(
        function: Callable[Concatenate[Frames, _P], Frames],
    ) -> Callable[Concatenate[Frames, _P], Frames]:
        checked = check_arguments(**constraints)(function)

        @wraps(function)
        def wrapper(frames: Frames, *args: _P.args, **kwargs: _P.kwargs) -> Frames:
            values = as_frames(frames)
            # NumPy's numbers would turn float32 frames into float64.
            args = tuple(map(_plain_number, args))  # type: ignore[assignment]
            kwargs = {name: _plain_number(value) for name, value in kwargs.items()}  # type: ignore[assignment]
            with np.errstate(over="ignore", invalid="ignore"):
                result = checked(values, *args, **kwargs)
            if result is not values and not is_finite(result):
                raise ValueError(
                    f"frames from {float(values.min()):.3g} to {float(values.max()):.3g} give "
                    f"values beyond float32 in {function.__name__}; rescale the frames, or check "
                    f"the other arguments."
                )
            return result.float() if is_tensor(result) else result.astype(np.float32, copy=False)

        return wrapper

    return decorate


def _plain_number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def as_strengths(values: Any, name: str, frames: Frames, most: float = _MOST_COUNTS) -> Any:
    """Return a number, or an array with a number for each frame, after a check.

    Parameters
    ----------
    values : float or array of shape (..., 1, 1)
        Strengths of a noise.
    name : str
        Name of the argument, for messages.
    frames : ndarray or tensor of shape (..., H, W)
        Frames to which they are applied.
    most : float, default=1e18
        Largest number allowed.

    Returns
    -------
    float, ndarray or tensor
        The same numbers; an array if they were nested lists.

    Raises
    ------
    ValueError
        If a number is not between 0 and `most`, or the shape does not fit the frames.
    """
    try:
        numbers = np.asarray(values.detach().cpu() if is_tensor(values) else values)
    except (TypeError, ValueError, RuntimeError):
        numbers = np.asarray("")
    if numbers.dtype.kind not in "iuf" or not ((numbers >= 0) & (numbers <= most)).all():
        raise ValueError(
            f"{name} must hold finite numbers in [0, {most:g}], one or one for each frame; "
            f"got {shorten(values)}."
        )
    shape = tuple(frames.shape)
    try:
        fits = np.broadcast_shapes(numbers.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} has shape {numbers.shape}, which does not fit frames of shape {shape}; pass "
            f"one number, or an array of shape {(*shape[:-2], 1, 1)}."
        )
    if (numbers.ndim or is_tensor(values)) and is_tensor(values) != is_tensor(frames):
        raise ValueError(
            f"{name} and frames must both be arrays or both be tensors; convert one of them."
        )
    return values if is_tensor(values) or isinstance(values, Real) else numbers


def check_no_negative_frames(frames: Frames) -> None:
    """Raise ValueError if a signal is negative, as no number of electrons is."""
    if frames.min() < 0:
        raise ValueError(
            f"Negative values in data: frames reach down to {float(frames.min()):.3g}, but a "
            f"number of electrons can't be negative. Subtract the dark level, or clip the frames "
            f"at 0."
        )


def is_signal(values: Frames) -> bool:
    """Return whether all values are finite and above 0."""
    return bool(((values > 0) & (values < math.inf)).all())
