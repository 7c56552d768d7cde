"""Drift between frames and the decay of their signal."""

from .._motion import Motion, coverage, warp
from ._aligned import AlignedStack
from ._critical_dose import CriticalDose
from ._drift_decay import DriftDecayModel
from ._registration import Registration, register
from ._state import DriftDecayState, LowConfidenceWarning
from ._trajectory import Trajectory, reconcile

__all__ = [
    "AlignedStack",
    "CriticalDose",
    "DriftDecayModel",
    "DriftDecayState",
    "LowConfidenceWarning",
    "Motion",
    "Registration",
    "Trajectory",
    "coverage",
    "reconcile",
    "register",
    "warp",
]
