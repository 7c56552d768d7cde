"""Where the atoms of a frame are, to a fraction of a pixel, and how far that can be trusted."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
