"""What the simulators share that can be measured on one's own camera."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .._validation import n_dims
from ._base import FrameNoise
from ._calibration import NoiseCalibration, calibrate
from ._variance_law import LawFit

# In counts. Below, how much of whole numbers' variance is rounding depends on the intensity.
_LEAST_NOISE = 0.5


class CalibratedNoise(FrameNoise):
    """Base of simulators whose `fit` measures their parameters where it is given sequences."""

    # The name under which calibration knows the law; that of the class, but not of its heirs.
    _model: ClassVar[str]
    # Draws noisy pixels at given intensities, where their law is not the normal one.
    _drawn_law: Any = None
    calibration_: NoiseCalibration | None

    def fit(self, X: Any, y: object = None, *, groups: ArrayLike | None = None) -> CalibratedNoise:
        """Calibrate on sequences of exposures, or take the parameters as they are.

        Parameters
        ----------
        X : list of array-like of shape (n_frames, H, W), or array-like
            To calibrate: a list of sequences (or one array of four dimensions), each of
            exposures of one still field, like vacuum at one beam intensity. At least four frames a
            sequence, of any real dtype; they are read two at a time, so arrays may be memory maps.
            `[stack]` is one sequence; its field must have structure.

            Otherwise, as in a Pipeline, clean frames (n_frames, H, W) or lines (n_lines, W):
            nothing is measured.
        y : object, optional
            Ignored.
        groups : array-like of shape (n_frames,), optional
            Which sequence each frame of one stack belongs to: calibrates on these.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where the frames can't tell the parameters: too few or too small, without noise, or all
            of one intensity.

        Warns
        -----
        UserWarning
            Where the model does not hold; `calibration_.reasons` says why. And where whole numbers
            are coarser than the noise.
        """
        self._check_parameters()
        sequences = _sequences(X, groups)
        if sequences is None:
            super().fit(X)
            self.calibration_ = None
            self._set_given()
            return self
        calibration = calibrate(sequences, self._model, law=self._drawn_law)
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
        """Set the fitted attributes to what was measured."""

    def _warn(self, calibration: NoiseCalibration) -> None:
        if calibration.preferred != calibration.model:
            what, other = (
                ("standard deviation", "variance")
                if calibration.model == "HRTEMNoise"
                else ("variance", "standard deviation")
            )
            warnings.warn(
                f"It is the {other} of this camera's noise that is linear in the signal, not the "
                f"{what}; take stemkit.noise.{calibration.preferred}().fit instead.",
                UserWarning,
                stacklevel=3,
            )
        elif not calibration.holds:
            warnings.warn(
                f"{calibration.model} does not hold for these frames: "
                f"{'; '.join(calibration.reasons)}. See calibration_ before you trust it.",
                UserWarning,
                stacklevel=3,
            )
        least = float(calibration.sequences["sigma"].min())
        if calibration.rounding and least < _LEAST_NOISE:
            warnings.warn(
                f"X holds whole numbers, but noise of {least:.2g} counts, below half a count: "
                f"rounding then is no noise of its own, and what noise is left without signal is "
                f"biased. Pass frames before rounding, or sums of several exposures.",
                UserWarning,
                stacklevel=3,
            )


def slope_of(fit: LawFit) -> tuple[float, float]:
    """Return how noise grows with the signal, not below 0, and the standard error."""
    stderr = float(np.sqrt(fit.covariance[0, 0]))
    if fit.slope < -5 * stderr:
        raise ValueError(
            f"X holds noise that falls as the signal grows (by {-fit.slope:.3g} a count), which is "
            f"none of a camera; check that frames were not inverted, clipped or filtered."
        )
    return max(fit.slope, 0.0), stderr


def _sequences(X: Any, groups: ArrayLike | None) -> Iterator[tuple[str, Any]] | None:
    """Give sequences to calibrate on, each with what to call it; None where X is plain frames."""
    if groups is not None:
        stack, labels = np.asarray(X), np.asarray(groups)
        if stack.ndim != 3 or labels.shape != stack.shape[:1]:
            raise ValueError(
                f"groups has shape {labels.shape} and X {stack.shape}, but each frame of one stack "
                f"(n_frames, H, W) needs a label; pass groups of shape (n_frames,)."
            )
        _, first = np.unique(labels, return_index=True)
        # One at a time: all together would be a second copy of the frames.
        return (
            (f"X[groups == {label!s}]", stack[labels == label]) for label in labels[np.sort(first)]
        )
    if getattr(X, "ndim", 0) == 4 or (
        isinstance(X, (list, tuple)) and len(X) and n_dims(X[0]) == 3
    ):
        return ((f"X[{index}]", stack) for index, stack in enumerate(X))
    return None
