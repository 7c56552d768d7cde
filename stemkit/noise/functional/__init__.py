"""What noise does to frames, as pure functions of NumPy arrays or torch tensors.

Each takes frames of shape (..., H, W), works on the device they are on, and returns float32 of the
same shape, with the frames it was given left as they are (or gives them back, where a strength of 0
leaves nothing to do). What is random takes a ``generator``: a
:class:`numpy.random.Generator` for arrays, a ``torch.Generator`` of the same device for tensors.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
