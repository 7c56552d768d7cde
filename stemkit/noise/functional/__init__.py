"""Noise as pure functions of NumPy arrays or torch tensors.

Each takes finite frames of shape (..., H, W), works on their device and returns float32 of the same
shape. The input is not modified; if a strength of 0 switches the noise off, it may be returned
itself. Random functions take a ``generator``: a :class:`numpy.random.Generator` for arrays, a
``torch.Generator`` of the same device for tensors.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
