"""What the beam took: maps of the decay between frames, and the critical dose."""

from ._critical_dose import CriticalDose

__all__ = ["CriticalDose"]
