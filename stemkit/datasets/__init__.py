"""Synthetic frames with known truth."""

from ._lattices import make_scene
from ._llzo import make_llzo_series
from ._sequences import make_damage_sequence, make_drift_pairs

__all__ = ["make_damage_sequence", "make_drift_pairs", "make_llzo_series", "make_scene"]
