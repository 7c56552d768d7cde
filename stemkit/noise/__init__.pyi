from . import functional as functional
from ._base import FrameNoise as FrameNoise
from ._calibration import NoiseCalibration as NoiseCalibration
from ._composite import (
    CompositeDegradationNoise as CompositeDegradationNoise,
    GaussianNoise as GaussianNoise,
    SpeckleNoise as SpeckleNoise,
    StaticNoise as StaticNoise,
)
from ._detector import Afterglow as Afterglow, LineGain as LineGain, Saturation as Saturation
from ._hrtem import HRTEMNoise as HRTEMNoise
from ._poisson_gaussian import PoissonGaussianNoise as PoissonGaussianNoise
from ._scan import Flyback as Flyback, RowJitter as RowJitter
from ._signal import ShotNoise as ShotNoise, SlowBackground as SlowBackground
from ._split import split_exposure as split_exposure
from ._stem import STEMNoise as STEMNoise
