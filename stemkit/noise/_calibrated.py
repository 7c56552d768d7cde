"""The base of simulators that can be calibrated on a camera's frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .._arrays import as_array
from .._validation import n_dims
from .._warnings import warn_caller, warn_once
from ._base import FrameNoise
from ._calibration import NoiseCalibration, calibrate
from ._variance_law import LawFit

# In counts. With less noise, the variance of rounding depends on the intensity.
_MIN_NOISE = 0.5


class CalibratedNoise(FrameNoise):
    """Base of simulators whose `fit` measures their parameters if it is given sequences."""

    # The model's name in the calibration: that of the class, also in subclasses.
    _model: ClassVar[str]
    # Draws noisy pixels at given intensities if their distribution is not normal.
    _draw_pixels: Any = None
    calibration_: NoiseCalibration | None

    def fit(self, X: Any, y: object = None, *, groups: ArrayLike | None = None) -> CalibratedNoise:
        """Calibrate on sequences of exposures, or keep the given parameters.

        Parameters
        ----------
        X : list of array-like of shape (n_frames, H, W), or array-like
            To calibrate: a list of sequences (or a 4-D array), each of exposures of one still
            field, such as vacuum at one beam intensity. A sequence has at least four frames of any
            real dtype; they are read two at a time, so that arrays may be memory maps. If there is
            one sequence, `[stack]`, its field must have structure.

            Otherwise, as in a Pipeline, clean frames (n_frames, H, W) or lines (n_lines, W):
            nothing is measured.
        y : object, optional
            Ignored.
        groups : array-like of shape (n_frames,), optional
            Label of the sequence to which each frame of one stack belongs, to calibrate on them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the frames do not determine the parameters: too few, too small, without noise, or
            all of one intensity.

        Warns
        -----
        BadPixelWarning
            If pixels do not show the field; they are filled from their neighbours.
        UserWarning
            If the model does not hold, for the reasons in `calibration_.reasons`, or if whole
            numbers are coarser than the noise.
        """
        self._check_parameters()
        sequences = _sequences(X, groups)
        if sequences is None:
            super().fit(X)
            self.calibration_ = None
            self._set_given()
            return self
        with warn_once():
            calibration = calibrate(sequences, self._model, draw=self._draw_pixels)
        self._set_measured(calibration)
        self.calibration_ = calibration
        self.frame_shape_ = np.shape(X if groups is not None else X[0])[1:]
        self._warn(calibration)
        return self

    @abstractmethod
    def _set_given(self) -> None:
        """Set the fitted attributes to the constructor's parameters."""

    @abstractmethod
    def _set_measured(self, calibration: NoiseCalibration) -> None:
        """Set the fitted attributes to the measured values."""

    def _warn(self, calibration: NoiseCalibration) -> None:
        if calibration.preferred != calibration.model:
            assumed, other = (
                ("standard deviation", "variance")
                if calibration.model == "HRTEMNoise"
                else ("variance", "standard deviation")
            )
            warn_caller(
                f"The {other} of this camera's noise is linear in the signal, not the {assumed}; "
                f"use stemkit.noise.{calibration.preferred}().fit instead."
            )
        elif not calibration.holds:
            warn_caller(
                f"{calibration.model} does not hold for these frames: "
                f"{'; '.join(calibration.reasons)}. See calibration_ before you use it."
            )
        smallest = float(calibration.sequences["sigma"].min())
        if calibration.rounding and smallest < _MIN_NOISE:
            warn_caller(
                f"X holds whole numbers with noise of {smallest:.2g} counts, below half a count: "
                f"rounding then depends on the noise, and the noise measured at low signal is "
                f"biased. Pass frames before rounding, or sums of several exposures."
            )


def slope_of(fit: LawFit) -> tuple[float, float]:
    """Return the slope of the noise over the signal, at least 0, and its standard error."""
    stderr = float(np.sqrt(fit.covariance[0, 0]))
    if fit.slope < -5 * stderr:
        raise ValueError(
            f"X has noise that decreases as the signal grows (by {-fit.slope:.3g} per count), as "
            f"no camera's does; check that the frames were not inverted, clipped or filtered."
        )
    return max(fit.slope, 0.0), stderr


def _sequences(X: Any, groups: ArrayLike | None) -> Iterator[tuple[str, Any]] | None:
    """Return the sequences to calibrate on with their names; None if X is plain frames."""
    if groups is not None:
        stack, labels = as_array(X, "X"), as_array(groups, "groups")
        if stack.ndim != 3 or labels.shape != stack.shape[:1]:
            raise ValueError(
                f"groups has shape {labels.shape} and X {stack.shape}, but each frame of one stack "
                f"(n_frames, H, W) needs one label; pass groups of shape (n_frames,)."
            )
        _, first = np.unique(labels, return_index=True)
        # One at a time, to save a second copy of the frames.
        return (
            (f"X[groups == {label!s}]", stack[labels == label]) for label in labels[np.sort(first)]
        )
    if getattr(X, "ndim", 0) == 4 or (
        isinstance(X, (list, tuple)) and len(X) and n_dims(X[0]) == 3
    ):
        return ((f"X[{index}]", stack) for index, stack in enumerate(X))
    return None
