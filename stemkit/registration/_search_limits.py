"""Which motions are searched: how far, how much turned, and how much magnified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._constraints import Constraints, Interval
from .._constraints import Sequence as SequenceOf
from .._motion import Motion

ROTATION_STEP = np.deg2rad(1.0)
# Frames of this side in px keep to `ROTATION_STEP`; the ends of longer ones move further when they
# turn. Finer steps than a third of it cost more time than they find.
_SIDE, _FINEST = 200, 3
# Ratio of successive magnifications, by which the border of a frame of 200 px moves by 2 px.
_SCALE_STEP = 1.02
# Drift beyond `max_step`, in px, that its uncertainty allows.
_TOLERANCE = 1.0
# Beyond these magnifications, pixels and atoms are too different to be compared.
_SCALE = Interval(float, 0.5, 2.0)

Scale = float | Sequence[float]
LIMITS: dict[str, Constraints] = {
    "max_drift": [Interval(float, 0, 1, closed="neither")],
    "max_rotation": [Interval(float, 0, 180, unit="degrees")],
    "max_step": [Interval(float, 0, None, closed="neither", unit="px"), None],
    "scale": [_SCALE, SequenceOf(_SCALE, 2)],
}


@dataclass(frozen=True)
class SearchLimits:
    """Limits of the motions that are searched, as :func:`register` takes them.

    ``expected`` is the drift in px from which ``max_step`` counts.
    """

    max_drift: float = 0.5
    max_rotation: float = 6.0
    max_step: float | None = None
    scale: Scale = 1.0
    expected: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        low, high = self.scale_range
        if low > high:
            raise ValueError(f"scale has the range ({low}, {high}); pass the lower limit first.")

    @property
    def scale_range(self) -> tuple[float, float]:
        """The lowest and the highest magnification."""
        if isinstance(self.scale, (int, float, np.number)):
            return float(self.scale), float(self.scale)
        low, high = self.scale
        return float(low), float(high)

    @property
    def searches_scale(self) -> bool:
        """Whether the magnification is searched, not given."""
        low, high = self.scale_range
        return low < high

    def rotations(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Return the rotations to try on binned frames, in radians."""
        limit = np.deg2rad(self.max_rotation)
        finer = np.clip(max(shape) / _SIDE, 1, _FINEST)
        n_steps = int(np.ceil(finer * limit / ROTATION_STEP))
        steps = np.linspace(-limit, limit, 2 * n_steps + 1)
        return steps[1:] if self.max_rotation == 180 else steps

    def scales(self) -> NDArray[np.float64]:
        """Return the magnifications to try."""
        low, high = self.scale_range
        n_steps = int(np.ceil(np.log(high / low) / np.log(_SCALE_STEP)))
        return np.geomspace(low, high, n_steps + 1)

    def disc(self, binning: int) -> tuple[tuple[float, float], float] | None:
        """Return centre and radius of the drifts to search in binned px, or None for no limit."""
        if self.max_step is None:
            return None
        centre = (self.expected[0] / binning, self.expected[1] / binning)
        return centre, (self.max_step + _TOLERANCE) / binning + 0.5

    def allow(self, motion: Motion, binning: int) -> bool:
        """Return whether a refined motion of binned frames is within the limits."""
        if abs(motion.rotation) > np.deg2rad(self.max_rotation) + ROTATION_STEP:
            return False
        if self.max_step is None:
            return True
        away = motion.drift * binning - self.expected
        return float(np.hypot(*away)) <= self.max_step + _TOLERANCE

    def after(self, n_steps: int, expected: NDArray[np.float64] | None = None) -> SearchLimits:
        """Return the limits between frames that are this many steps of a series apart.

        Near an ``expected`` drift, the limit of a single step remains: on a lattice, that of
        several steps would include other drifts by a lattice vector.
        """
        step, centre = self.max_step, (0.0, 0.0)
        if expected is not None:
            centre = (float(expected[0]), float(expected[1]))
        elif step is not None:
            step *= n_steps
        low, high = _SCALE.low or 0.0, _SCALE.high or np.inf
        scale = self.scale
        if not self.searches_scale:
            scale = float(np.clip(self.scale_range[0] ** n_steps, low, high))
        return SearchLimits(self.max_drift, self.max_rotation, step, scale, centre)
