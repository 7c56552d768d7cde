"""Drift, beam damage and noise in (scanning) transmission electron microscopy series.

Names are imported when they are first used, so that ``import stemkit`` is quick: it imports neither
torch nor matplotlib.
"""

import lazy_loader

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
