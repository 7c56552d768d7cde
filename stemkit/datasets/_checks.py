"""Refusals of counts and shapes that are none."""

from __future__ import annotations

from numbers import Integral


def check_count(value: int, name: str) -> int:
    """Return a number of frames as an int."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an int of at least 1; got {value!r}.")
    return int(value)


def check_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the shape of a frame as two ints."""
    try:
        height, width = (check_count(side, "shape") for side in shape)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"shape must be (H, W), each an int of at least 1; got {shape}."
        ) from error
    return height, width
