"""What a scanning detector and its amplifier add: afterglow, line-to-line gain, saturation."""

from __future__ import annotations

import math

from ..._arrays import Frames, Generator, as_frames, namespace, normal
from ._checks import check_not_negative, check_positive, check_share
from ._recursion import accumulate
from ._reference import Reference, reference_signal


def afterglow(frames: Frames, share: float, decay: float = 1.0) -> Frames:
    r"""Let part of each pixel's light come late, and so reach the pixels to its right.

    A scintillator gives a share a of its light slowly. What is recorded at pixel j is
    :math:`(1 - a) x_j + a (1 - q) \sum_{k \ge 0} q^k x_{j-k}` with :math:`q = e^{-1/\tau}`:
    a one-pole filter along the row, that keeps the mean.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W), float32
        Frames whose rows are the fast axis.
    share : float
        Share a of the light that comes late, 0 to 1; 0 for no afterglow.
    decay : float, default=1.0
        Pixels after which 1/e of the late light is still to come: the scintillator's decay time
        over the dwell time.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32
        A row begins as if the probe had waited at its first pixel for long.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

    References
    ----------
    .. [1] T. Mullarkey, C. Downing and L. Jones, "Development of a practicable digital pulse
       read-out for dark-field STEM", Microsc. Microanal. 27 (2021) 99.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import afterglow
    >>> flash = np.array([[0, 0, 1, 0, 0, 0]], dtype="float32")
    >>> afterglow(flash, 0.5, decay=1.0).round(3)
    array([[0.   , 0.   , 0.816, 0.116, 0.043, 0.016]], dtype=float32)
    """
    frames = as_frames(frames)
    check_share(share, "share")
    check_positive(decay, "decay", "px")
    if share == 0:
        return frames
    factor = math.exp(-1 / decay)
    first = frames[..., :1]
    result = accumulate(frames - first, factor)
    result *= share * (1 - factor)
    result += share * first
    result += (1 - share) * frames
    return result


def line_gain(frames: Frames, sigma: float, *, generator: Generator | None = None) -> Frames:
    r"""Multiply each row with a gain of its own, of mean 1.

    The gains are log-normal and independent: as an unsteady emission or amplifier makes them, and
    never negative.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W), float32
        Frames whose rows are the fast axis.
    sigma : float
        Standard deviation of the gain; 0.01 is 1 %, 0 is none.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the gains, of the frames' library and device; a fresh one by default.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import line_gain
    >>> flat = np.ones((1000, 4), dtype="float32")
    >>> rows = line_gain(flat, 0.05, generator=np.random.default_rng(0))
    >>> round(float(rows.std()), 2), bool((rows[:, 0] == rows[:, 3]).all())
    (0.05, True)
    """
    frames = as_frames(frames)
    check_not_negative(sigma, "sigma", "shares of the signal")
    if sigma == 0:
        return frames
    # Of a log-normal variable with mean 1 and standard deviation sigma.
    spread = math.sqrt(math.log1p(sigma * sigma))
    draw = normal(frames, (*frames.shape[:-1], 1), generator)
    return frames * namespace(frames).exp(spread * draw - spread * spread / 2)


def saturate(frames: Frames, level: float, *, reference: Reference = "mean") -> Frames:
    """Cut off what is beyond the detector's range.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W)
        Frames.
    level : float
        Largest signal that is recorded, in multiples of the reference.
    reference : "mean", float or array of shape (..., 1, 1), default="mean"
        The signal, in the frames' units, that `level` is a multiple of: each frame's own mean, or a
        number.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import saturate
    >>> saturate(np.array([[0.5, 1.0, 1.5]]), 1.0)
    array([[0.5, 1. , 1. ]], dtype=float32)
    """
    frames = as_frames(frames)
    check_positive(level, "level", "multiples of the reference signal")
    return frames.clip(max=level * reference_signal(frames, reference))
