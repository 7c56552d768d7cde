"""Simulators of what a microscope and its camera add to frames, and their calibration."""

from . import functional
from ._base import FrameNoise
from ._calibration import NoiseCalibration
from ._composite import CompositeDegradationNoise, GaussianNoise, SpeckleNoise, StaticNoise
from ._detector import Afterglow, LineGain, Saturation
from ._hrtem import HRTEMNoise
from ._poisson_gaussian import PoissonGaussianNoise
from ._scan import Flyback, RowJitter
from ._signal import ShotNoise, SlowBackground
from ._split import split_exposure
from ._stem import STEMNoise

__all__ = [
    "Afterglow",
    "CompositeDegradationNoise",
    "Flyback",
    "FrameNoise",
    "GaussianNoise",
    "HRTEMNoise",
    "LineGain",
    "NoiseCalibration",
    "PoissonGaussianNoise",
    "RowJitter",
    "STEMNoise",
    "Saturation",
    "ShotNoise",
    "SlowBackground",
    "SpeckleNoise",
    "StaticNoise",
    "functional",
    "split_exposure",
]
