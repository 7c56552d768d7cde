"""Figures of what the estimators found."""

from ._drift_decay_display import DriftDecayDisplay
from ._noise_calibration_display import NoiseCalibrationDisplay
from ._trajectory_display import TrajectoryDisplay

__all__ = ["DriftDecayDisplay", "NoiseCalibrationDisplay", "TrajectoryDisplay"]
