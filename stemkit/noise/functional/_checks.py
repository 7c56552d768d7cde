"""Refusals that say which parameter is wrong and what it should be."""

from __future__ import annotations

import math
from numbers import Real

from ..._arrays import Frames


def check_not_negative(value: float, name: str, unit: str) -> None:
    """Refuse what is not a finite number of at least 0."""
    if not (isinstance(value, Real) and 0 <= value < math.inf):
        raise ValueError(
            f"{name} must be a finite number of {unit}, not below 0; got {value!r}. "
            f"Use 0 to switch it off."
        )


def check_positive(value: float, name: str, unit: str) -> None:
    """Refuse what is not a finite number above 0."""
    if not (isinstance(value, Real) and 0 < value < math.inf):
        raise ValueError(f"{name} must be a finite number of {unit} above 0; got {value!r}.")


def check_share(value: float, name: str) -> None:
    """Refuse what is no share of a whole."""
    if not (isinstance(value, Real) and 0 <= value <= 1):
        raise ValueError(f"{name} must lie between 0 (none) and 1 (all of it); got {value!r}.")


def check_length(value: float, name: str) -> None:
    """Refuse a length over which pixels can't vary smoothly."""
    if not (isinstance(value, Real) and 1 <= value < math.inf):
        raise ValueError(f"{name} must be at least 1 px and finite; got {value!r}.")


def check_no_negative_frames(frames: Frames) -> None:
    """Refuse signals that no number of electrons can have."""
    if frames.min() < 0:
        raise ValueError(
            f"Negative values in data: a signal of {float(frames.min()):.3g} is no number of "
            f"electrons. Subtract the dark level that the frames lie on, or clip them at 0."
        )
