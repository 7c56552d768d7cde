"""Drift between frames and the decay of their signal.

:class:`DriftDecayModel` joins :mod:`stemkit.registration`, which finds where the specimen moved,
and :mod:`stemkit.damage`, which maps what the beam took. Their public names are offered here too.
"""

from ..damage import CriticalDose
from ..exceptions import LowConfidenceWarning
from ..registration import (
    AlignedStack,
    Motion,
    Registration,
    Trajectory,
    coverage,
    reconcile,
    register,
    warp,
)
from ._drift_decay import DriftDecayModel
from ._results import DriftDecayAnalysis, DriftDecayState

__all__ = [
    "AlignedStack",
    "CriticalDose",
    "DriftDecayAnalysis",
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
