"""How good an image is, and how good positions are: against the truth, and without it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
