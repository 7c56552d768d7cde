"""Where the specimen moved between frames: registration, without networks or generators."""

from .._motion import Motion, coverage, warp
from ._aligned_stack import AlignedStack
from ._pair import Registration, register
from ._reconcile import Trajectory, reconcile

__all__ = [
    "AlignedStack",
    "Motion",
    "Registration",
    "Trajectory",
    "coverage",
    "reconcile",
    "register",
    "warp",
]
