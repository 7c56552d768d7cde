"""Results of DriftDecayModel for a pair and for a series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._motion import Motion
from .._repr import short_repr
from .._validation import Float32Array

if TYPE_CHECKING:
    from skimage.transform import AffineTransform, EuclideanTransform


@dataclass(frozen=True, eq=False, repr=False)
class DriftDecayState:
    """How a pair of frames is related at a time between them; its arrays are read-only.

    For several times, ``t``, ``drift``, ``rotation``, ``decay``, ``damage`` and ``frame`` have one
    entry for each along their first axis.

    Attributes
    ----------
    t : float or ndarray of shape (n_times,)
        0 is the first frame, 1 the second.
    drift : ndarray of shape (2,) or (n_times, 2)
        (dy, dx) in px, of the frame's centre: what lies at p in the first frame lies at p + drift.
    rotation : float or ndarray of shape (n_times,)
        Radians, counter-clockwise as seen on the screen.
    decay : ndarray of shape (H, W) or (n_times, H, W), float32
        Share of the first frame's signal that is left, at the first frame's pixels. Outside the
        overlap it is that of the nearest pixel inside, and where the frames tell nothing, that of
        the whole frame.
    frame : ndarray of shape (H, W) or (n_times, H, W), float32
        The predicted frame, in the intensities of the pair.
    motion : Motion
        From the first frame to the second (t = 1).
    confidence : float
        Probability that the motion is right, 0 to 1.
    candidates : tuple of (Motion, float)
        Motions that are consistent with the pair and the weight of each, the heaviest first.
    overlap : ndarray of shape (H, W), bool
        Where the second frame holds data on the first frame's pixels.
    decay_stderr : ndarray of shape (H, W) or (n_times, H, W), float32, or None
        Standard error of the decay and of the damage. It is near 0.29, that of any number between
        0 and 1, where the frames tell nothing at t = 1: in vacuum and on smooth film.
    """

    t: float | NDArray[np.float64]
    drift: NDArray[np.float64]
    rotation: float | NDArray[np.float64]
    decay: Float32Array
    frame: Float32Array
    motion: Motion
    confidence: float
    candidates: tuple[tuple[Motion, float], ...]
    overlap: NDArray[np.bool_]
    decay_stderr: Float32Array | None = None

    def __post_init__(self) -> None:
        for values in vars(self).values():
            if isinstance(values, np.ndarray):
                values.flags.writeable = False

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def damage(self) -> Float32Array:
        """Share of the first frame's signal that is lost, ``1 - decay``."""
        return 1 - self.decay

    @property
    def transform(self) -> EuclideanTransform | AffineTransform:
        """The transform of scikit-image, of (x, y) from the first frame to the second (t = 1).

        Its own ``rotation`` has the other sign, see :meth:`Motion.to_skimage`.
        """
        return self.motion.to_skimage()


class _TrajectoryAndMaps(NamedTuple):
    trajectory: pd.DataFrame
    decay_maps: Float32Array


class DriftDecayAnalysis(_TrajectoryAndMaps):
    """Trajectory and decay maps of a series; it unpacks as a tuple of the two.

    Attributes
    ----------
    trajectory : DataFrame
        One row for each frame, as :meth:`DriftDecayModel.trajectory` returns it.
    decay_maps : ndarray of shape (n_frames, H, W), float32
        Share of the first frame's signal that is left, at the first frame's pixels.
    decay_stderr : ndarray of shape (n_frames, H, W), float32, or None
        Standard error of the maps; 0 for the first frame, to which the others are relative. It is
        no item of the tuple.
    """

    decay_stderr: Float32Array | None

    def __new__(
        cls,
        trajectory: pd.DataFrame,
        decay_maps: Float32Array,
        decay_stderr: Float32Array | None = None,
    ) -> Self:
        self = super().__new__(cls, trajectory, decay_maps)
        self.decay_stderr = decay_stderr
        return self

    def __repr__(self) -> str:
        return short_repr(self)
