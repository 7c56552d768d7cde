"""The mean of what a denoiser makes of a frame looked at from several sides."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, product

import numpy as np

from .._validation import Float32Array

N_VIEWS = 1, 4, 8


def mean_of_views(
    denoise: Callable[[Float32Array], Float32Array], frames: Float32Array, n_views: int
) -> Float32Array:
    """Denoise frames (n, H, W) turned over both ways, for 8 views turned by 90 degrees too."""
    check_n_views(n_views)
    if n_views == 1:
        return denoise(frames)
    total = np.zeros(frames.shape, np.float32)
    sides = product((False, True), (1, -1), (1, -1))
    for turned, down, right in islice(sides, n_views):
        view = (frames.swapaxes(1, 2) if turned else frames)[:, ::down, ::right]
        denoised = denoise(np.ascontiguousarray(view))[:, ::down, ::right]
        total += denoised.swapaxes(1, 2) if turned else denoised
    return total / np.float32(n_views)


def check_n_views(n_views: int) -> None:
    """Raise where there are not so many views."""
    if n_views not in N_VIEWS:
        raise ValueError(f"n_views must be one of {N_VIEWS}; got {n_views!r}.")
