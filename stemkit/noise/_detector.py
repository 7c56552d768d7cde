"""Afterglow, line-to-line gain and saturation as simulators of their own."""

from __future__ import annotations

from typing import ClassVar, Literal

from .._arrays import Frames, Generator
from .._random import RandomState
from . import functional
from ._base import FrameNoise, SignalNoise
from .functional._checks import DECAY, SHARE, not_negative, positive
from .functional._reference import REFERENCE


class Afterglow(FrameNoise):
    r"""Delay part of each pixel's light, so that it is recorded in the pixels to the right.

    A scintillator emits a share a of its light slowly. Pixel j records
    :math:`(1 - a) x_j + a (1 - q) \sum_{k \ge 0} q^k x_{j-k}` with :math:`q = e^{-1/\tau}`:
    a one-pole filter along the row that keeps the mean.

    Parameters
    ----------
    share : float, default=0.2
        Share a of the light that is delayed, 0 to 1; 0 for no afterglow.
    decay : float, default=1.0
        Pixels after which 1/e of the delayed light is still to come: the scintillator's decay
        time over the dwell time.

    References
    ----------
    .. [1] T. Mullarkey, C. Downing and L. Jones, "Development of a practicable digital pulse
       read-out for dark-field STEM", Microsc. Microanal. 27 (2021) 99.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import Afterglow
    >>> flash = np.array([[[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]])
    >>> Afterglow(share=0.5, decay=1.0).fit_transform(flash)[0, 0].round(3)
    array([0.   , 0.   , 0.816, 0.116, 0.043, 0.016], dtype=float32)
    """

    random_state: RandomState = 0  # nothing is drawn

    _parameter_constraints: ClassVar = {"share": [SHARE], "decay": [DECAY]}

    def __init__(self, *, share: float = 0.2, decay: float = 1.0) -> None:
        self.share = share
        self.decay = decay

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.afterglow(frames, self.share, self.decay)


class LineGain(FrameNoise):
    """Multiply each row by a random gain of mean 1.

    The gains are independent and log-normal, so never negative. Fluctuations of the emission or of
    the amplifier cause them.

    Parameters
    ----------
    sigma : float, default=0.01
        Standard deviation of the gain; 0.01 is 1 %, 0 is none.
    random_state : int, Generator, RandomState or None, default=None
        Source of the gains; None draws fresh ones in every call.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import LineGain
    >>> rows = LineGain(sigma=0.05, random_state=0).fit_transform(np.ones((1, 1000, 4)))
    >>> round(float(rows.std()), 2), bool((rows[..., 0] == rows[..., 3]).all())
    (0.05, True)
    """

    _parameter_constraints: ClassVar = {
        **FrameNoise._parameter_constraints,
        "sigma": [not_negative()],
    }

    def __init__(self, *, sigma: float = 0.01, random_state: RandomState = None) -> None:
        self.sigma = sigma
        self.random_state = random_state

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.line_gain(frames, self.sigma, generator=generator)


class Saturation(SignalNoise):
    """Clip the signal at the end of the detector's range.

    Parameters
    ----------
    level : float, default=2.0
        Largest signal that is recorded, in multiples of the reference.
    reference : "mean" or float, default="mean"
        The signal, in the frames' units, that `level` is a multiple of: each frame's own mean, or a
        number.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import Saturation
    >>> Saturation(level=255, reference=1.0).fit_transform(np.array([[[100.0, 250.0, 300.0]]]))
    array([[[100., 250., 255.]]], dtype=float32)
    """

    random_state: RandomState = 0  # nothing is drawn

    _parameter_constraints: ClassVar = {"level": [positive()], "reference": REFERENCE}

    def __init__(self, *, level: float = 2.0, reference: Literal["mean"] | float = "mean") -> None:
        self.level = level
        self.reference = reference

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.saturate(frames, self.level, reference=self.reference)
