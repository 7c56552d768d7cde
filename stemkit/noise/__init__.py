"""Simulators of what a microscope and its camera add to frames, and their calibration."""

from . import functional
from ._calibration import NoiseCalibration
from ._hrtem import HRTEMNoise
from ._poisson_gaussian import PoissonGaussianNoise

__all__ = ["HRTEMNoise", "NoiseCalibration", "PoissonGaussianNoise", "functional"]
