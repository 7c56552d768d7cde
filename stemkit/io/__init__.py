"""Read frames from files, and write stacks that other programs open without loss.

Each format is one module with a function ``read``, and one line in ``_formats.py``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
