"""Drift between frames and the decay of their signal.

:class:`DriftDecayModel` combines :mod:`stemkit.registration`, which estimates how the specimen
moved, and :mod:`stemkit.damage`, which maps the beam damage. Their public names can be imported
from here too.
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
