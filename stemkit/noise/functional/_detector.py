"""What a scanning detector and its amplifier add: afterglow, line-to-line gain, saturation."""

from __future__ import annotations

import math

from ..._arrays import Frames, Generator, namespace, normal
from ._checks import DECAY, SHARE, not_negative, on_frames, positive
from ._recursion import accumulate
from ._reference import Reference, reference_signal


@on_frames(share=[SHARE], decay=[DECAY])
def afterglow(frames: Frames, share: float, decay: float = 1.0) -> Frames:
    r"""Delay part of each pixel's light, so that it is recorded in the pixels to the right.

    A scintillator emits a share a of its light slowly. Pixel j records
    :math:`(1 - a) x_j + a (1 - q) \sum_{k \ge 0} q^k x_{j-k}` with :math:`q = e^{-1/\tau}`:
    a one-pole filter along the row that keeps the mean.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W), float32
        Frames whose rows are the fast axis.
    share : float
        Share a of the light that is delayed, 0 to 1; 0 for no afterglow.
    decay : float, default=1.0
        Pixels after which 1/e of the delayed light is still to come: the scintillator's decay
        time over the dwell time.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32
        A row begins as if the probe had rested at its first pixel for a long time.

    Raises
    ------
    ValueError
        If `share` is not between 0 and 1, or `decay` is not above 0.

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
    if share == 0:
        return frames
    factor = math.exp(-1 / decay)
    first = frames[..., :1]
    result = accumulate(frames - first, factor)
    result *= share * (1 - factor)
    result += share * first
    result += (1 - share) * frames
    return result


@on_frames(sigma=[not_negative()])
def line_gain(frames: Frames, sigma: float, *, generator: Generator | None = None) -> Frames:
    r"""Multiply each row by a random gain of mean 1.

    The gains are independent and log-normal, so never negative. Fluctuations of the emission or of
    the amplifier cause them.

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
        If `sigma` is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import line_gain
    >>> flat = np.ones((1000, 4), dtype="float32")
    >>> rows = line_gain(flat, 0.05, generator=np.random.default_rng(0))
    >>> round(float(rows.std()), 2), bool((rows[:, 0] == rows[:, 3]).all())
    (0.05, True)
    """
    if sigma == 0:
        return frames
    # The logarithm's standard deviation, for log-normal gains of standard deviation sigma.
    spread = math.sqrt(math.log1p(sigma * sigma))
    draw = normal(frames, (*frames.shape[:-1], 1), generator)
    return frames * namespace(frames).exp(spread * draw - spread * spread / 2)


@on_frames(level=[positive()])
def saturate(frames: Frames, level: float, *, reference: Reference = "mean") -> Frames:
    """Clip the signal at the end of the detector's range.

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
        If `level` or `reference` is not above 0 and finite.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import saturate
    >>> saturate(np.array([[0.5, 1.0, 1.5]]), 1.0)
    array([[0.5, 1. , 1. ]], dtype=float32)
    """
    return frames.clip(max=level * reference_signal(frames, reference))
