"""What DriftDecayModel says of a whole series."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin
from tqdm.auto import tqdm

from .._motion import Motion, coverage, warp
from .._validation import Float32Array, check_stack, rescale_to_float32
from ..damage._background_level import common_level, ground_of
from ..damage._critical_dose import CriticalDose, fit_critical_dose
from ..damage._prediction import align, mean_over_specimen
from ..exceptions import LowConfidenceWarning
from ..registration._aligned_stack import AlignedStack
from ..registration._binning import bin_frame, bin_overlap
from ..registration._pair import TRUSTED, Registration
from ..registration._reconcile import reconcile
from ..registration._trajectory_table import frame_pairs, motions_from_table, trajectory_table


class SeriesMixin(TransformerMixin, ABC):
    """Trajectory, alignment, decay maps and critical dose, from what is said of pairs."""

    registration: str
    verbose: int

    @abstractmethod
    def _check_parameters(self) -> None:
        """Refuse parameters that are none."""

    @abstractmethod
    def _check_fitted(self) -> None:
        """Raise NotFittedError where there is no network to ask."""

    @abstractmethod
    def _register(self, first: Float32Array, second: Float32Array) -> Registration:
        """Estimate the motion of a pair."""

    @abstractmethod
    def _decay(
        self,
        first: Float32Array,
        aligned: Float32Array,
        overlap: NDArray[np.bool_],
        times: NDArray[np.float64],
        level: Float32Array | None = None,
    ) -> Float32Array:
        """Estimate the decay of an aligned pair at each time."""

    @abstractmethod
    def _bin(self, frame: Float32Array) -> int:
        """Choose how many px to bin."""

    def trajectory(self, stack: ArrayLike, times: ArrayLike | None = None) -> pd.DataFrame:
        """Follow the specimen through a stack.

        Drift is estimated over all pairs of frames (up to 16 frames; beyond, over lags of powers
        of two) and reconciled, so that one wrong pair is outvoted.

        Parameters
        ----------
        stack : array-like of shape (n_frames, H, W) or (n_lines, W)
            The series.
        times : array-like of shape (n_frames,), optional
            When each frame was taken; the frame's number by default.

        Returns
        -------
        DataFrame
            One row a frame, all relative to the first: ``time``, ``dy`` and ``dx`` (px),
            ``rotation_deg``, ``shear``, ``stretch`` and ``scale`` (see :class:`Motion`),
            ``mean_damage`` over the specimen, ``confidence`` (0 to 1), ``closure`` (px: how far
            the pairs of this frame are from agreeing).

        Raises
        ------
        ValueError
            Where ``stack`` holds less than two frames of finite numbers, or ``times`` don't rise.
        """
        return self._follow(stack, times)[0]

    def _follow(
        self, stack: ArrayLike, times: ArrayLike | None = None
    ) -> tuple[pd.DataFrame, Float32Array]:
        """Return the trajectory and the decay maps that it is told from."""
        frames, _ = self._check_series(stack, min_frames=2)
        frames, _ = rescale_to_float32(frames)
        when = _check_axis(times, len(frames), "times") if times is not None else None
        pairs = frame_pairs(len(frames))
        found = {
            (i, j): self._register(frames[i], frames[j])
            for i, j in tqdm(pairs, desc="drift", unit="pair", disable=self.verbose < 1)
        }
        table = trajectory_table(*reconcile(found, len(frames)))
        decay = self.decay_maps(frames, trajectory=table)
        table.insert(
            list(table.columns).index("confidence"),
            "mean_damage",
            [mean_over_specimen(frames[0], 1 - left) for left in decay],
        )
        table.insert(0, "time", np.arange(len(frames), dtype=float) if when is None else when)
        doubtful = table.index[table["confidence"] < TRUSTED].tolist()
        if doubtful and self.registration == "correlation":
            warnings.warn(
                f"The drift of frames {doubtful} has a confidence below {TRUSTED}: they may be "
                f"vacuum, perfectly periodic or without overlap with the others.",
                LowConfidenceWarning,
                stacklevel=3,
            )
        return table, decay

    def transform(
        self,
        stack: ArrayLike,
        *,
        trajectory: pd.DataFrame | None = None,
        fill: str | float = "edge",
    ) -> AlignedStack:
        """Align a stack to its first frame.

        Parameters
        ----------
        stack : array-like of shape (n_frames, H, W) or (n_lines, W)
            The series.
        trajectory : DataFrame, optional
            What :meth:`trajectory` gave, to save the time of doing it again.
        fill : {"edge", "reflect"} or float, default="edge"
            What to put where a frame holds no data.

        Returns
        -------
        AlignedStack of shape (n_frames, H, W), float32
            An array; its ``mask`` is True where the frame holds data.

        Raises
        ------
        ValueError
            Where ``stack`` is not one of finite numbers, or ``trajectory`` is of another.
        """
        frames, shape = self._check_series(stack)
        motions = self._motions(frames, trajectory)
        aligned = np.empty_like(frames)
        mask = np.empty(frames.shape, dtype=bool)
        for index, motion in enumerate(motions):
            aligned[index] = warp(frames[index], motion.inverse(), fill=fill)
            mask[index] = coverage(motion.inverse())
        return AlignedStack(aligned.reshape(shape), mask.reshape(shape))

    def decay_maps(
        self, stack: ArrayLike, *, trajectory: pd.DataFrame | None = None
    ) -> Float32Array:
        """Return the decay from the first frame to each.

        Film, background and amorphised matter do not fade. What they show is the same for all
        frames, so all have a say on it: maps of a series are surer than :meth:`predict` of its
        pairs.

        Parameters
        ----------
        stack : array-like of shape (n_frames, H, W) or (n_lines, W)
            The series.
        trajectory : DataFrame, optional
            What :meth:`trajectory` gave.

        Returns
        -------
        ndarray of shape (n_frames, H, W), float32
            At the first frame's pixels; 1 for the first frame.

        Raises
        ------
        ValueError
            Where ``stack`` is not one of finite numbers, or ``trajectory`` is of another.
        """
        frames, shape = self._check_series(stack)
        if trajectory is None and len(frames) > 1:
            return self._follow(frames)[1].reshape(shape)
        frames, _ = rescale_to_float32(frames)
        motions = self._motions(frames, trajectory)
        maps = np.ones_like(frames)
        later = list(zip(frames, motions, strict=True))[1:]
        level = self._common_level(frames[0], (align(*frame) for frame in later))
        progress = tqdm(later, desc="decay", unit="frame", disable=self.verbose < 1)
        for index, frame in enumerate(progress, start=1):
            maps[index] = self._decay(frames[0], *align(*frame), np.ones(1), level)[0]
        return maps.reshape(shape)

    def critical_dose(
        self, stack: ArrayLike, dose: ArrayLike, *, trajectory: pd.DataFrame | None = None
    ) -> CriticalDose:
        """Fit ``exp(-dose / D)`` to the signal of each place.

        Parameters
        ----------
        stack : array-like of shape (n_frames, H, W) or (n_lines, W)
            The series, of at least three frames.
        dose : array-like of shape (n_frames,)
            Accumulated dose at each frame, rising, in any unit.
        trajectory : DataFrame, optional
            What :meth:`trajectory` gave.

        Returns
        -------
        CriticalDose
            Maps of D and of its standard error, in the unit of ``dose``.

        Raises
        ------
        ValueError
            Where ``stack`` holds less than three frames of finite numbers, or ``dose`` does not
            rise.
        """
        frames, _ = self._check_series(stack, min_frames=3)
        exposure = _check_axis(dose, len(frames), "dose")
        return fit_critical_dose(self.decay_maps(frames, trajectory=trajectory), exposure)

    def _check_series(
        self, stack: ArrayLike, *, min_frames: int = 1
    ) -> tuple[Float32Array, tuple[int, ...]]:
        """Return a series as a stack, and the shape that it had, if all is ready for it."""
        self._check_parameters()
        self._check_fitted()
        return check_stack(stack, self, reset=False, name="stack", min_frames=min_frames)

    def _common_level(
        self, first: Float32Array, aligned: Iterable[tuple[Float32Array, NDArray[np.bool_]]]
    ) -> Float32Array:
        """Tell from all frames, aligned to the first, what wholly damaged places show."""
        binning = self._bin(first)
        small = bin_frame(first, binning)
        return common_level(
            small,
            (
                ground_of(small, bin_frame(frame, binning), bin_overlap(overlap, binning))
                for frame, overlap in aligned
            ),
        )

    def _motions(self, frames: Float32Array, trajectory: pd.DataFrame | None) -> list[Motion]:
        if trajectory is None:
            if len(frames) == 1:
                return [Motion(frames.shape[1:])]
            trajectory = self.trajectory(frames)
        if len(trajectory) != len(frames):
            raise ValueError(
                f"trajectory has {len(trajectory)} rows for {len(frames)} frames; "
                f"pass the table that trajectory() gave for this stack."
            )
        return motions_from_table(trajectory, frames.shape[1:])


def _check_axis(values: ArrayLike, n_frames: int, name: str) -> NDArray[np.float64]:
    try:
        axis = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers, one for each frame; got {values!r}.") from error
    if axis.shape != (n_frames,):
        raise ValueError(f"{name} has shape {axis.shape}; give one number for each frame.")
    if not np.isfinite(axis).all() or not (np.diff(axis) > 0).all():
        raise ValueError(f"{name} must be finite and rise from frame to frame.")
    return axis
