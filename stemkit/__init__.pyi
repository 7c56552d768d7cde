from . import (
    damage as damage,
    datasets as datasets,
    degradation as degradation,
    denoise as denoise,
    drift as drift,
    engine as engine,
    exceptions as exceptions,
    inspection as inspection,
    io as io,
    localize as localize,
    losses as losses,
    metrics as metrics,
    networks as networks,
    noise as noise,
    preprocessing as preprocessing,
    registration as registration,
    utils as utils,
)
from .denoise import (
    BlindSpotDenoiser as BlindSpotDenoiser,
    MatchedDenoiser as MatchedDenoiser,
    NetworkDenoiser as NetworkDenoiser,
    PINNEDDenoiser as PINNEDDenoiser,
    SCGNDenoiser as SCGNDenoiser,
    SplitPairs as SplitPairs,
)
from .drift import DriftDecayModel as DriftDecayModel
from .localize import AtomLocator as AtomLocator
from .noise import (
    CompositeDegradationNoise as CompositeDegradationNoise,
    HRTEMNoise as HRTEMNoise,
    PoissonGaussianNoise as PoissonGaussianNoise,
    STEMNoise as STEMNoise,
)

__version__: str
