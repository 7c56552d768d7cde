from ._crystal import make_crystal_images as make_crystal_images
from ._crystal_stream import CrystalStream as CrystalStream
from ._fetch import (
    fetch_nuc as fetch_nuc,
    fetch_sfin as fetch_sfin,
    fetch_temimagenet as fetch_temimagenet,
)
from ._llzo import make_llzo_series as make_llzo_series
from ._nucleation import make_nucleation as make_nucleation
from ._nucleation_sequence import make_nucleation_sequence as make_nucleation_sequence
from ._nucleation_stream import NucleationStream as NucleationStream
from ._scenes import make_scene as make_scene
from ._sequences import (
    make_damage_sequence as make_damage_sequence,
    make_drift_pairs as make_drift_pairs,
)
from ._stem_lattice import make_stem_lattice as make_stem_lattice
