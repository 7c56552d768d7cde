"""Scaling of frame pairs to the range that the network was trained on."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage

from .._validation import Float32Array, check_pair

Units = Literal["local", "released"]

# Standard deviation in px of the window of local mean and contrast: a few lattice vectors of the
# 6 to 20 px in the network's training.
WINDOW = 16.0


def scale_pair(
    first: Float32Array, second: Float32Array, units: Units
) -> tuple[Float32Array, Float32Array]:
    """Scale a pair for the network: "local" for our weights, "released" for the authors'."""
    return (normalize_pair if units == "local" else _to_unit_range)(first, second)


def normalize_pair(first: Float32Array, second: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Scale two aligned frames by the first one's local mean and contrast.

    Both frames are scaled alike, so that the loss of signal between them stays, while gradients of
    thickness or brightness over the field cancel.

    Parameters
    ----------
    first, second : ndarray of shape (H, W), float32
        The two frames, with structure of 6 to 20 px, the second aligned to the first.

    Returns
    -------
    first : ndarray of shape (H, W), float32
        Scaled to a local mean of about 0.5 and a local standard deviation of about 0.2.
    second : ndarray of shape (H, W), float32
        Scaled as the first.

    Raises
    ------
    ValueError
        If the frames are not finite or differ in shape.

    Examples
    --------
    >>> from stemkit.damage import normalize_pair
    >>> from stemkit.datasets import make_damage_sequence
    >>> frames = make_damage_sequence("gaussian", 2, shape=(64, 64), random_state=0).frames
    >>> first, second = normalize_pair(frames[0], frames[1])
    >>> bool(abs(first.mean() - 0.5) < 0.1)
    True
    """
    first, second = check_pair([first, second], name="(first, second)")
    mean = ndimage.gaussian_filter(first, WINDOW)
    # Light smoothing keeps the columns and halves the contrast of shot noise.
    structure = ndimage.gaussian_filter(first, 1.0) - mean
    variance = ndimage.gaussian_filter(structure**2, WINDOW)
    # A lower bound keeps the noise of vacuum from being scaled up to look like a specimen.
    floor = 0.25 * float(np.sqrt(np.mean(structure**2)))
    # Contrast below the rounding errors of float32 is ignored: relative ones, in any unit.
    rounding = 1e-6 * max(float(np.abs(frame).max()) for frame in (first, second))
    contrast = np.sqrt(np.maximum(variance, 0)).clip(
        max(floor, rounding, float(np.finfo(np.float32).tiny))
    )
    return (
        (0.5 + 0.2 * (first - mean) / contrast).astype(np.float32),
        (0.5 + 0.2 * (second - mean) / contrast).astype(np.float32),
    )


def _to_unit_range(first: Float32Array, second: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Scale a pair to [0, 1] by its common range, as for the released networks."""
    low = min(float(first.min()), float(second.min()))
    high = max(float(first.max()), float(second.max()))
    span = high - low if high > low else 1.0
    return (first - low) / np.float32(span), (second - low) / np.float32(span)
