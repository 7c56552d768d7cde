"""Composite degradation noise, and each of its components by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np

from .._arrays import Frames, Generator, check_draws, namespace, on_device_of, uniform
from .._constraints import Interval, Options, shorten
from .._constraints import Sequence as SequenceOf
from .._random import RandomState
from ..exceptions import InvalidParameterError
from . import functional
from ._base import FrameNoise
from .functional._checks import SHARE, finite, not_negative
from .functional._composite import check_range

Speckle = Literal["variance", "std"]


class Strength(NamedTuple):
    """Strengths of the components at one level, as printed in the paper."""

    sigma: float
    share: float
    speckle: float


# Table 1 of the paper.
_LEVELS = MappingProxyType(
    {
        1: Strength(50.0, 0.5, 0.2),
        2: Strength(60.0, 0.6, 0.3),
        3: Strength(70.0, 0.7, 0.4),
        4: Strength(80.0, 0.8, 0.5),
        5: Strength(100.0, 0.9, 0.6),
    }
)
_LEVEL = Interval(int, min(_LEVELS), max(_LEVELS))


class GaussianNoise(FrameNoise):
    """Add normal noise with the same standard deviation in every pixel.

    Parameters
    ----------
    sigma : float, default=50.0
        Standard deviation in the frames' units; 0 for no noise.
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise; None draws fresh noise in every call.

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

    _parameter_constraints: ClassVar = {
        **FrameNoise._parameter_constraints,
        "sigma": [not_negative()],
    }

    def __init__(self, *, sigma: float = 50.0, random_state: RandomState = None) -> None:
        self.sigma = sigma
        self.random_state = random_state

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.gaussian_noise(frames, self.sigma, generator=generator)


class StaticNoise(FrameNoise):
    """Replace a share of the pixels by uniform random values.

    Parameters
    ----------
    share : float, default=0.5
        Probability that a pixel is replaced, 0 to 1.
    low, high : float, default=0 and 255
        Range of the random values, in the frames' units.
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise; None draws fresh noise in every call.

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

    _parameter_constraints: ClassVar = {
        **FrameNoise._parameter_constraints,
        "share": [SHARE],
        "low": [finite()],
        "high": [finite()],
    }

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

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_range(self.low, self.high)

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.static_noise(
            frames, self.share, low=self.low, high=self.high, generator=generator
        )


class SpeckleNoise(FrameNoise):
    """Multiply each pixel by 1 + n, with n normal.

    Parameters
    ----------
    variance : float, default=0.2
        Variance of n; 0 for no noise.
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise; None draws fresh noise in every call.

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

    _parameter_constraints: ClassVar = {
        **FrameNoise._parameter_constraints,
        "variance": [not_negative()],
    }

    def __init__(self, *, variance: float = 0.2, random_state: RandomState = None) -> None:
        self.variance = variance
        self.random_state = random_state

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return functional.speckle_noise(frames, self.variance, generator=generator)


class CompositeDegradationNoise(FrameNoise):
    r"""Degrade frames as the PINNED paper does: Gaussian noise, then static, then speckle.

    A pixel of signal x has the mean :math:`(1 - p)\, x + 127.5\, p` afterwards, where p is the
    share of the pixels that static replaces: static lowers the contrast and adds a background.

    Parameters
    ----------
    level : int or sequence of int, default=1
        Strength from 1 to 5, Table 1 of the paper. With several levels one is drawn for each frame.
    speckle : {"variance", "std"}, default="variance"
        Meaning of the table's last column, 0.2 to 0.6, headed "Variance": the variance of the
        speckle, whose standard deviation is then 0.45 to 0.77, or the standard deviation. The
        Gaussian's column, headed "Std Dev", is always its standard deviation.
    clip : tuple of float or None, default=None
        Range (low, high) to clip the result to. The paper's formula does not clip; images of
        8 bits are clipped to (0, 255).
    random_state : int, Generator, RandomState or None, default=None
        Source of the noise; None draws fresh noise in every call.

    Attributes
    ----------
    LEVELS : mapping of int to tuple
        For each level ``sigma`` of the Gaussian, ``share`` of the pixels that static replaces, and
        ``speckle``, the last column of the table.

    Notes
    -----
    The frames' intensities are expected on a scale of 0 to 255.

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

    The strengths of a level:

    >>> CompositeDegradationNoise.LEVELS[3]
    Strength(sigma=70.0, share=0.7, speckle=0.4)
    """

    LEVELS: ClassVar[Mapping[int, Strength]] = _LEVELS
    _parameter_constraints: ClassVar = {
        **FrameNoise._parameter_constraints,
        "level": [_LEVEL, SequenceOf(_LEVEL)],
        "speckle": [Options(*get_args(Speckle))],
        "clip": [tuple, list, None],
    }

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
        super()._check_parameters()
        if self.clip is not None and not _is_range(self.clip):
            raise InvalidParameterError(
                f"clip must be two numbers (low, high), the second above the first, or None; "
                f"got {shorten(self.clip)}."
            )

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        generator = check_draws(frames, generator)
        xp = namespace(frames)
        levels = [self.LEVELS[one] for one in np.atleast_1d(self.level)]
        edges = np.arange(1, len(levels), dtype=np.float32) / len(levels)
        drawn = uniform(frames, (*frames.shape[:-2], 1, 1), generator)
        index = xp.searchsorted(on_device_of(frames, edges), drawn, side="right")
        sigma, share, speckle = (
            on_device_of(frames, column)[index] for column in np.array(levels, dtype=np.float32).T
        )
        variance = speckle if self.speckle == "variance" else speckle**2
        noisy = functional.composite_noise(frames, sigma, share, variance, generator=generator)
        return noisy if self.clip is None else noisy.clip(*self.clip)


def _is_range(values: Sequence[float]) -> bool:
    return (
        len(values) == 2
        and all(isinstance(value, Real) for value in values)
        and bool(values[0] < values[1])
    )
