"""Composite degradation noise, and each of its components by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from .._arrays import Frames, Generator, check_draws, namespace, on_device_of, uniform
from .._random import RandomState
from . import functional
from ._base import FrameNoise
from ._part import PureNoise

Speckle = Literal["variance", "std"]


class Strength(NamedTuple):
    """How strong the components of one level are, as the paper prints them."""

    sigma: float
    share: float
    speckle: float


LEVELS = {
    1: Strength(50.0, 0.5, 0.2),
    2: Strength(60.0, 0.6, 0.3),
    3: Strength(70.0, 0.7, 0.4),
    4: Strength(80.0, 0.8, 0.5),
    5: Strength(100.0, 0.9, 0.6),
}
"""Table 1 of the paper."""


class GaussianNoise(PureNoise):
    """Add normal noise that is equally strong everywhere.

    Parameters
    ----------
    sigma : float, default=50.0
        Standard deviation in the frames' units; 0 for no noise.
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise; fresh in every call with None.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import GaussianNoise
    >>> noisy = GaussianNoise(sigma=5.0, random_state=0).fit_transform(np.full((1, 100, 100), 40.0))
    >>> round(float(noisy.mean())), round(float(noisy.std()))
    (40, 5)
    """

    def __init__(self, *, sigma: float = 50.0, random_state: RandomState = None) -> None:
        self.sigma = sigma
        self.random_state = random_state

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.gaussian_noise(frames, self.sigma, generator=generator)


class StaticNoise(PureNoise):
    """Replace a share of the pixels by uniform random values.

    Parameters
    ----------
    share : float, default=0.5
        Probability of each pixel to be replaced, 0 to 1.
    low, high : float, default=0 and 255
        Range of what replaces them, in the frames' units.
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise; fresh in every call with None.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import StaticNoise
    >>> noisy = StaticNoise(share=0.2, random_state=0).fit_transform(np.zeros((1, 100, 100)))
    >>> round(float((noisy > 0).mean()), 1)
    0.2
    """

    def __init__(
        self,
        *,
        share: float = 0.5,
        low: float = 0.0,
        high: float = 255.0,
        random_state: RandomState = None,
    ) -> None:
        self.share = share
        self.low = low
        self.high = high
        self.random_state = random_state

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.static_noise(
            frames, self.share, low=self.low, high=self.high, generator=generator
        )


class SpeckleNoise(PureNoise):
    """Multiply each pixel by 1 + n, with n normal.

    Parameters
    ----------
    variance : float, default=0.2
        Variance of n; 0 for no noise.
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise; fresh in every call with None.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import SpeckleNoise
    >>> noisy = SpeckleNoise(variance=0.25, random_state=0).fit_transform(
    ...     np.full((1, 100, 100), 40.0)
    ... )
    >>> round(float(noisy.mean())), round(float(noisy.std()))
    (40, 20)
    """

    def __init__(self, *, variance: float = 0.2, random_state: RandomState = None) -> None:
        self.variance = variance
        self.random_state = random_state

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.speckle_noise(frames, self.variance, generator=generator)


class CompositeDegradationNoise(FrameNoise):
    r"""Degrade frames as the PINNED paper does: Gaussian noise, then static, then speckle.

    A pixel of signal x has the mean :math:`(1 - p)\, x + 127.5\, p` afterwards, where p is the
    share of the pixels that static replaces: it takes contrast away and adds a background.

    Parameters
    ----------
    level : int or sequence of int, default=1
        Strength from 1 to 5, Table 1 of the paper. Of several levels each frame draws its own.
    speckle : {"variance", "std"}, default="variance"
        What the table's last column, headed "Variance", is of the speckle: its variance, from 0.2
        to 0.6, or its standard deviation. Taken at its word the standard deviation is the root,
        0.45 to 0.77. The column of the Gaussian is headed "Std Dev", and taken at its word too.
    clip : tuple of float or None, default=None
        Range (low, high) to clip the result to. The paper's formula does not clip; a picture of
        8 bits does, at (0, 255).
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise; fresh in every call with None.

    Notes
    -----
    Frames are expected on a scale of 0 to 255.

    References
    ----------
    Awan et al., "Physics informed neural network enhanced denoising for atomic resolution STEM
    imaging".

    Examples
    --------
    >>> from stemkit.datasets import make_crystal_images
    >>> from stemkit.noise import CompositeDegradationNoise
    >>> clean = make_crystal_images("GaN", 2, shape=(64, 64), random_state=0).frames
    >>> CompositeDegradationNoise(level=3, random_state=0).fit_transform(clean).shape
    (2, 64, 64)
    """

    def __init__(
        self,
        *,
        level: int | Sequence[int] = 1,
        speckle: Speckle = "variance",
        clip: tuple[float, float] | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.level = level
        self.speckle = speckle
        self.clip = clip
        self.random_state = random_state

    def _check_parameters(self) -> None:
        levels = np.atleast_1d(np.asarray(self.level, dtype=object))
        if levels.ndim != 1 or not len(levels) or any(one not in LEVELS for one in levels):
            raise ValueError(
                f"level must be a whole number from 1 to {max(LEVELS)}, or several of them; "
                f"got {self.level!r}."
            )
        if self.speckle not in get_args(Speckle):
            raise ValueError(f"speckle must be one of {get_args(Speckle)}; got {self.speckle!r}.")
        if self.clip is not None and not (len(self.clip) == 2 and self.clip[0] < self.clip[1]):
            raise ValueError(f"clip must be (low, high), rising, or None; got {self.clip!r}.")

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        generator = check_draws(frames, generator)
        xp = namespace(frames)
        levels = [LEVELS[one] for one in np.atleast_1d(self.level)]
        edges = np.arange(1, len(levels), dtype=np.float32) / len(levels)
        drawn = uniform(frames, (*frames.shape[:-2], 1, 1), generator)
        mine = xp.searchsorted(on_device_of(frames, edges), drawn, side="right")
        sigma, share, speckle = (
            on_device_of(frames, column)[mine] for column in np.array(levels, dtype=np.float32).T
        )
        variance = speckle if self.speckle == "variance" else speckle**2
        noisy = functional.composite_noise(frames, sigma, share, variance, generator=generator)
        return noisy if self.clip is None else noisy.clip(*self.clip)
