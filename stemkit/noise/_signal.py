"""Shot noise and a slow background as simulators of their own."""

from __future__ import annotations

from typing import ClassVar, Literal

from .._arrays import Frames, Generator
from .._random import RandomState
from . import functional
from ._base import SignalNoise
from .functional._checks import SMOOTH_LENGTH, not_negative
from .functional._reference import REFERENCE
from .functional._shot import DOSE, PIXEL_SIZE


class ShotNoise(SignalNoise):
    """Count electrons one by one, at a given dose.

    A pixel whose signal equals the reference collects a Poisson number of electrons of mean `dose`
    (times the pixel's area if its size is given), other pixels in proportion. The counts are scaled
    back to the frames' units, so that the expectation is the clean frame.

    Parameters
    ----------
    dose : float, default=100.0
        Electrons per pixel or, with a pixel size, per square angstrom.
    pixel_size : float, optional
        Side of a pixel in nm, as everywhere in stemkit.
    reference : "mean" or float, default="mean"
        The signal, in the frames' units, that collects the dose. "mean" is each frame's own mean:
        the dose is then the mean number of electrons per pixel. For simulated frames in shares of
        the incident beam use 1.0: the dose is then the incident one.
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise; None draws fresh noise in every call.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import ShotNoise
    >>> flat = np.full((1, 300, 300), 7.0)
    >>> noisy = ShotNoise(dose=100, pixel_size=0.02, random_state=0).fit_transform(flat)
    >>> round(float(noisy.mean()), 1), round(float(noisy.std()), 1)  # 7, and 7 / sqrt(100 * 0.04)
    (7.0, 3.5)
    """

    _parameter_constraints: ClassVar = {
        **SignalNoise._parameter_constraints,
        "dose": [DOSE],
        "pixel_size": [PIXEL_SIZE, None],
        "reference": REFERENCE,
    }

    def __init__(
        self,
        *,
        dose: float = 100.0,
        pixel_size: float | None = None,
        reference: Literal["mean"] | float = "mean",
        random_state: RandomState = None,
    ) -> None:
        self.dose = dose
        self.pixel_size = pixel_size
        self.reference = reference
        self.random_state = random_state

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.shot_noise(
            frames,
            self.dose,
            pixel_size=self.pixel_size,
            reference=self.reference,
            generator=generator,
        )


class SlowBackground(SignalNoise):
    r"""Add a background that varies slowly and is nowhere negative.

    It represents a support film, contamination or stray light, and is a log-normal random field:
    its logarithm is Gaussian, and correlated over a distance r as :math:`e^{-r^2 / 2 L^2}`.

    Parameters
    ----------
    level : float, default=0.2
        Mean of the background, in shares of the reference; 0 for no background.
    contrast : float, default=0.3
        Standard deviation of the background over its mean; 0 for a constant one.
    length : float, default=64.0
        Distance L over which it varies, in px; at least 1.
    reference : "mean" or float, default="mean"
        The signal, in the frames' units, that `level` is a share of: each frame's own mean, or a
        number.
    random_state : int, Generator, RandomState or None, default=None
        Source of the background; None draws a fresh one in every call.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import SlowBackground
    >>> frames = np.random.default_rng(0).random((2, 64, 64)) + 1
    >>> lit = SlowBackground(level=0.5, random_state=0).fit_transform(frames)
    >>> bool((lit > frames).all())
    True
    """

    _parameter_constraints: ClassVar = {
        **SignalNoise._parameter_constraints,
        "level": [not_negative()],
        "contrast": [not_negative()],
        "length": [SMOOTH_LENGTH],
        "reference": REFERENCE,
    }

    def __init__(
        self,
        *,
        level: float = 0.2,
        contrast: float = 0.3,
        length: float = 64.0,
        reference: Literal["mean"] | float = "mean",
        random_state: RandomState = None,
    ) -> None:
        self.level = level
        self.contrast = contrast
        self.length = length
        self.reference = reference
        self.random_state = random_state

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.slow_background(
            frames,
            self.level,
            self.contrast,
            self.length,
            reference=self.reference,
            generator=generator,
        )
