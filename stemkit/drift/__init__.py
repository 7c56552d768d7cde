"""Drift between frames and the decay of their signal."""

from .._motion import Motion, coverage, warp
from ..damage._critical_dose import CriticalDose
from ..exceptions import LowConfidenceWarning
from ..registration._aligned_stack import AlignedStack
from ..registration._pair import Registration, register
from ..registration._reconcile import Trajectory, reconcile
from ._drift_decay import DriftDecayModel
from ._results import DriftDecayState

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
