"""Row jitter and flyback as simulators of their own."""

from __future__ import annotations

from typing import ClassVar

from .._arrays import Frames, Generator
from .._random import RandomState
from . import functional
from ._base import FrameNoise
from .functional._checks import DECAY, DISPLACEMENT, not_negative


class RowJitter(FrameNoise):
    r"""Displace each row along the fast axis at random.

    The displacements are Gaussian, in fractions of a pixel, and follow an Ornstein-Uhlenbeck
    process from row to row: :math:`\langle s_i s_j \rangle = \sigma^2 \exp(-|i - j| / L)`.

    Parameters
    ----------
    sigma : float, default=0.3
        Standard deviation of the displacement, in px; 0 for none.
    correlation : float, default=4.0
        Correlation length L of the displacements, in rows; 0 for independent ones.
    random_state : int, Generator, RandomState or None, default=None
        Source of the displacements; None draws fresh ones in every call.

    See Also
    --------
    stemkit.noise.functional.shift_rows : The interpolation and its errors.

    References
    ----------
    .. [1] L. Jones and P. D. Nellist, "Identifying and correcting scan noise and drift in the
       scanning transmission electron microscope", Microsc. Microanal. 19 (2013) 1050.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import RowJitter
    >>> stripes = np.tile(np.sin(np.arange(64) / 2), (3, 64, 1))
    >>> jittered = RowJitter(sigma=0.5, random_state=0).fit_transform(stripes)
    >>> bool(jittered[0].std(axis=0).max() > 0.1)  # the stripes are no longer straight
    True
    """

    _parameter_constraints: ClassVar = {
        **FrameNoise._parameter_constraints,
        "sigma": [DISPLACEMENT],
        "correlation": [not_negative("rows")],
    }

    def __init__(
        self, *, sigma: float = 0.3, correlation: float = 4.0, random_state: RandomState = None
    ) -> None:
        self.sigma = sigma
        self.correlation = correlation
        self.random_state = random_state

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.row_jitter(frames, self.sigma, self.correlation, generator=generator)


class Flyback(FrameNoise):
    r"""Distort the start of each row, where the probe has not settled after its flyback.

    The probe comes from the right-hand end of the previous row. At pixel j it is still
    :math:`a\,e^{-j/\tau}` px to the right of its place, which stretches the start of the row.

    Parameters
    ----------
    amplitude : float, default=1.0
        Displacement of the probe at the first pixel of a row, in px; 0 for none.
    decay : float, default=8.0
        Pixels after which 1/e of the displacement is left.

    References
    ----------
    .. [1] L. Jones and P. D. Nellist, "Identifying and correcting scan noise and drift in the
       scanning transmission electron microscope", Microsc. Microanal. 19 (2013) 1050.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import Flyback
    >>> ramp = np.tile(np.arange(32.0), (1, 8, 1))
    >>> Flyback(amplitude=4.0, decay=4.0).fit_transform(ramp)[0, 0, 4:8].round(2)
    array([5.47, 6.15, 6.89, 7.7 ], dtype=float32)
    """

    random_state: RandomState = 0  # nothing is drawn

    _parameter_constraints: ClassVar = {"amplitude": [DISPLACEMENT], "decay": [DECAY]}

    def __init__(self, *, amplitude: float = 1.0, decay: float = 8.0) -> None:
        self.amplitude = amplitude
        self.decay = decay

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.flyback(frames, self.amplitude, self.decay)
