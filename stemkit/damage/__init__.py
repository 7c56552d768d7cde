"""Beam damage: maps of the decay between frames, and the critical dose.

The decay is the share of the first frame's signal that is left, from 0 to 1, pixel by pixel.
:class:`stemkit.drift.DriftDecayModel` maps it after registration of the frames; this package holds
what can be used by itself: the fit of a critical dose to decay maps, averages over the specimen,
and the synthetic pairs on which the network is trained.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
