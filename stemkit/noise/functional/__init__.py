"""What noise does to frames, as pure functions of NumPy arrays or torch tensors.

Each takes frames of shape (..., H, W), works on the device they are on, and returns float32 of the
same shape, with the frames it was given left as they are (or gives them back, where a strength of 0
leaves nothing to do). What is random takes a ``generator``: a
:class:`numpy.random.Generator` for arrays, a ``torch.Generator`` of the same device for tensors.
"""

from ._background import slow_background
from ._composite import composite_noise, gaussian_noise, speckle_noise, static_noise
from ._detector import afterglow, line_gain, saturate
from ._hrtem import (
    column_noise,
    hrtem_noise,
    pointwise_noise,
    stabilize_log,
    unstabilize_log,
)
from ._poisson import (
    poisson_gaussian_noise,
    stabilize_anscombe,
    unstabilize_anscombe,
)
from ._scan import flyback, row_jitter, shift_rows
from ._shot import shot_noise
from ._stem import stem_noise

__all__ = [
    "afterglow",
    "column_noise",
    "composite_noise",
    "flyback",
    "gaussian_noise",
    "hrtem_noise",
    "line_gain",
    "pointwise_noise",
    "poisson_gaussian_noise",
    "row_jitter",
    "saturate",
    "shift_rows",
    "shot_noise",
    "slow_background",
    "speckle_noise",
    "stabilize_anscombe",
    "stabilize_log",
    "static_noise",
    "stem_noise",
    "unstabilize_anscombe",
    "unstabilize_log",
]
