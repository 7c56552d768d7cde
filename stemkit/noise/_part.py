"""What simulators share that are no more than a pure function with its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._validation import Float32Array
from ._base import FrameNoise
from .functional._checks import check_no_negative_frames

if TYPE_CHECKING:
    from sklearn.utils import Tags


class PureNoise(FrameNoise):
    """Base of simulators whose pure function refuses what its parameters may not be."""

    def _check_parameters(self) -> None:
        # One pixel is enough for the function to look at its parameters.
        self._degrade(np.ones((1, 1), dtype=np.float32), np.random.default_rng(0))


class SignalNoise(PureNoise):
    """Base of those simulators to which a signal is something that can't be negative."""

    def _check_signal(self, frames: Float32Array) -> None:
        check_no_negative_frames(frames)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags
