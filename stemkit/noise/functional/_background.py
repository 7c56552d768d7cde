"""A background that varies slowly over the frame: support film, contamination, stray light."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Frames, Generator, namespace, normal, on_device_of
from ._checks import SMOOTH_LENGTH, not_negative, on_frames
from ._reference import Reference, reference_signal

# Distance between the random numbers in widths of the kernel, which keeps the variance uniform to
# 1e-7, and the kernel's reach in widths, where it is down to 1e-5 of its peak.
_SPACING = 0.75
_REACH = 4.8


@on_frames(level=[not_negative()], contrast=[not_negative()], length=[SMOOTH_LENGTH])
def slow_background(
    frames: Frames,
    level: float,
    contrast: float = 0.3,
    length: float = 64.0,
    *,
    reference: Reference = "mean",
    generator: Generator | None = None,
) -> Frames:
    r"""Add a background that varies slowly and is nowhere negative.

    It is a log-normal random field: its logarithm is Gaussian, and correlated over a distance r as
    :math:`e^{-r^2 / 2 L^2}`. It doesn't repeat at the border.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W), float32
        Frames.
    level : float
        Mean of the background, in shares of the reference; 0 for no background.
    contrast : float, default=0.3
        Standard deviation of the background over its mean; 0 for a constant one.
    length : float, default=64.0
        Distance L over which it varies, in px; at least 1.
    reference : "mean", float or array of shape (..., 1, 1), default="mean"
        The signal, in the frames' units, that `level` is a share of: each frame's own mean, or a
        number.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the background, of the frames' library and device; a fresh one by default.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32

    Raises
    ------
    ValueError
        If a parameter is negative or not finite, or `length` is below 1 px.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import slow_background
    >>> frames = np.ones((100, 64, 64), dtype="float32")
    >>> lit = slow_background(frames, 0.5, 0.2, 8.0, generator=np.random.default_rng(0))
    >>> round(float(lit.mean()), 2), round(float(lit.std()), 2)  # 1 + 0.5, and 0.5 * 0.2
    (1.5, 0.1)
    """
    if level == 0:
        return frames
    mean = level * reference_signal(frames, reference)
    if contrast == 0:
        return frames + mean
    # The logarithm's standard deviation, for a log-normal field of this contrast.
    spread = math.sqrt(math.log1p(contrast * contrast))
    field = _gaussian_field(frames, length, generator)
    field *= spread
    field -= spread * spread / 2
    field = namespace(frames).exp(field)
    field *= mean
    field += frames
    return field


def _gaussian_field(frames: Frames, length: float, generator: Generator) -> Frames:
    """Draw a Gaussian random field of variance 1 for each frame.

    White noise on a coarse grid larger than the frame is convolved with a Gaussian of width
    length / sqrt(2). Unlike a field made by FFT it is not periodic.
    """
    down, across = (_spread(size, length) for size in frames.shape[-2:])
    shape = (*frames.shape[:-2], down.shape[1], across.shape[1])
    white = normal(frames, shape, generator)
    return on_device_of(frames, down) @ white @ on_device_of(frames, across.T)


def _spread(size: int, length: float) -> NDArray[np.float32]:
    """Return the weights (size, n_nodes) of the coarse grid's nodes at each pixel."""
    width = length / math.sqrt(2)
    nodes = np.arange(
        -_REACH * width, size - 1 + _REACH * width + _SPACING * width, _SPACING * width
    )
    weights = np.exp(-((np.arange(size)[:, np.newaxis] - nodes) ** 2) / (2 * width * width))
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
