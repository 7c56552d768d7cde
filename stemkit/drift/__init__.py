"""Drift between frames and the decay of their signal."""

from .._motion import Motion, coverage, warp
from ._registration import Registration, register
from ._trajectory import Trajectory, reconcile

__all__ = [
    "Motion",
    "Registration",
    "Trajectory",
    "coverage",
    "reconcile",
    "register",
    "warp",
]
