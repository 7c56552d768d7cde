"""Synthetic frames with known truth, and loaders of public sets."""

from ._fetch import fetch_nuc, fetch_sfin, fetch_temimagenet
from ._lattices import make_scene
from ._llzo import make_llzo_series
from ._sequences import make_damage_sequence, make_drift_pairs

__all__ = [
    "fetch_nuc",
    "fetch_sfin",
    "fetch_temimagenet",
    "make_damage_sequence",
    "make_drift_pairs",
    "make_llzo_series",
    "make_scene",
]
