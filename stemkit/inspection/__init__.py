"""Figures of what the estimators found."""

from ._denoising_display import DenoisingDisplay
from ._drift_decay_display import DriftDecayDisplay
from ._history_display import HistoryDisplay
from ._localization_display import LocalizationDisplay
from ._noise_calibration_display import NoiseCalibrationDisplay
from ._trajectory_display import TrajectoryDisplay

__all__ = [
    "DenoisingDisplay",
    "DriftDecayDisplay",
    "HistoryDisplay",
    "LocalizationDisplay",
    "NoiseCalibrationDisplay",
    "TrajectoryDisplay",
]
