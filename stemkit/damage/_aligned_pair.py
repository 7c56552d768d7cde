"""Two aligned frames, and the quantities that all estimates of background and decay use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._validation import Float32Array
from ._filters import average_neighbouring_rows, estimate_noise_variance, high_pass


class Background(NamedTuple):
    """What remains of a frame where the specimen is wholly damaged.

    Attributes
    ----------
    level : ndarray of shape (H, W), float32
        Intensity of wholly damaged places in the first frame.
    offset : float
        How much brighter the background of the second frame is.
    stderr : ndarray of shape (H, W) or None
        Standard error of the level; None if it is known.
    """

    level: Float32Array
    offset: float
    stderr: NDArray | None = None


class Products(NamedTuple):
    """A template times either frame: the decay is the ratio of their sums over a window.

    Attributes
    ----------
    reference, observed : ndarray of shape (H, W)
        The template times the first frame and times the second; 0 outside the overlap.
    overlap : ndarray of shape (H, W)
        1 where the second frame holds data and 0 elsewhere.
    """

    reference: NDArray
    observed: NDArray
    overlap: NDArray


@dataclass(frozen=True, eq=False)
class DetailedFrame:
    """A frame and what is derived from it alone, each computed once, when first used.

    Attributes
    ----------
    frame : ndarray of shape (H, W), float32
        The frame.
    inside : ndarray of shape (H, W), bool, or None
        Where it holds data; None if it does everywhere.
    detail : ndarray of shape (H, W), float32
        The frame without its local mean.
    template : ndarray of shape (H, W), float32
        The detail as the neighbouring rows show it.
    noise_variance : ndarray of shape (H, W), float32
        Variance of the white noise.
    """

    frame: Float32Array
    inside: NDArray[np.bool_] | None = None

    @cached_property
    def detail(self) -> Float32Array:
        return high_pass(self.frame)

    @cached_property
    def template(self) -> Float32Array:
        return average_neighbouring_rows(self.detail)

    @cached_property
    def noise_variance(self) -> Float32Array:
        return estimate_noise_variance(self.frame, self.detail, self.inside)


@dataclass(frozen=True, eq=False)
class AlignedPair:
    """Two frames, the second aligned to the first.

    Attributes
    ----------
    first, second : DetailedFrame
        Frames with structure of 6 to 20 px.
    overlap : ndarray of shape (H, W), float32
        1 where the second frame holds data and 0 elsewhere.
    """

    first: DetailedFrame
    second: DetailedFrame
    overlap: Float32Array

    @classmethod
    def from_frames(
        cls, first: Float32Array, second: Float32Array, overlap: NDArray | None = None
    ) -> AlignedPair:
        """Make a pair of arrays of shape (H, W); without ``overlap`` they overlap everywhere."""
        inside = np.ones_like(first) if overlap is None else overlap.astype(np.float32)
        return cls(DetailedFrame(first), DetailedFrame(second), inside)

    @cached_property
    def structure(self) -> Products:
        """Products of the first frame's template with the detail of either frame."""
        weight = self.overlap * self.first.template
        return Products(weight * self.first.detail, weight * self.second.detail, self.overlap)

    def above(self, background: Background) -> Products:
        """Return products with all that lies above the background, local mean included."""
        signal = self.first.frame - background.level
        weight = self.overlap * average_neighbouring_rows(signal)
        observed = weight * (self.second.frame - background.level - background.offset)
        return Products(weight * signal, observed, self.overlap)


def mean_positive(values: NDArray) -> float:
    """Return the mean of an array with its negative values set to 0."""
    return float(np.mean(np.maximum(values, 0)))
