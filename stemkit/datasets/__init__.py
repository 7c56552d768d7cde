"""Synthetic frames with known truth, and loaders of public sets."""

from ._crystal import make_crystal_images
from ._crystal_stream import CrystalStream
from ._fetch import fetch_nuc, fetch_sfin, fetch_temimagenet
from ._llzo import make_llzo_series
from ._nucleation import make_nucleation
from ._nucleation_sequence import make_nucleation_sequence
from ._nucleation_stream import NucleationStream
from ._scenes import make_scene
from ._sequences import make_damage_sequence, make_drift_pairs
from ._stem_lattice import make_stem_lattice

__all__ = [
    "CrystalStream",
    "NucleationStream",
    "fetch_nuc",
    "fetch_sfin",
    "fetch_temimagenet",
    "make_crystal_images",
    "make_damage_sequence",
    "make_drift_pairs",
    "make_llzo_series",
    "make_nucleation",
    "make_nucleation_sequence",
    "make_scene",
    "make_stem_lattice",
]
