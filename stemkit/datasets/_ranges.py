"""Ranges from which each frame draws a number of its own."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from .._constraints import Interval, Sequence

Range: TypeAlias = float | tuple[float, float]


class RangeIn:
    """Constraint: a number, or ``(low, high)`` with ``low <= high``, within an interval.

    Parameters
    ----------
    interval : Interval
        Bounds of both numbers.
    """

    def __init__(self, interval: Interval) -> None:
        self.interval = interval

    def accepts(self, value: object) -> bool:
        """Return whether the value is such a number or pair."""
        if self.interval.accepts(value):
            return True
        if not Sequence(self.interval, 2).accepts(value):
            return False
        low, high = np.asarray(value).tolist()
        return low <= high

    def __str__(self) -> str:
        return f"a number or (low, high) with low <= high, each {self.interval}"


def as_range(value: Range) -> tuple[float, float]:
    """Return both ends of a range; a number is both."""
    low, high = np.broadcast_to(np.asarray(value, dtype=float), 2).tolist()
    return low, high
