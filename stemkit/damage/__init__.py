"""What the beam took: maps of the decay between frames, and the critical dose."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
