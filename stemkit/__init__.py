"""Drift, beam damage and noise in (scanning) transmission electron microscopy series.

Names load on first use, so that ``import stemkit`` stays quick: neither torch nor matplotlib is
imported before something needs it.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemkit import (
        datasets,
        degradation,
        denoise,
        drift,
        engine,
        inspection,
        io,
        localize,
        losses,
        metrics,
        networks,
        noise,
        utils,
    )
    from stemkit.denoise import (
        BlindSpotDenoiser,
        MatchedDenoiser,
        PINNEDDenoiser,
        SCGNDenoiser,
        SplitPairs,
    )
    from stemkit.drift import DriftDecayModel
    from stemkit.localize import AtomLocator
    from stemkit.noise import (
        CompositeDegradationNoise,
        HRTEMNoise,
        PoissonGaussianNoise,
        STEMNoise,
    )

# Once idle, PyTorch's threads hold their cores for milliseconds before they sleep, and the threads
# that convolve by Winograd's algorithm wait for those. OpenMP reads this as torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

__version__ = "0.1.0.dev0"

__all__ = [
    "AtomLocator",
    "BlindSpotDenoiser",
    "CompositeDegradationNoise",
    "DriftDecayModel",
    "HRTEMNoise",
    "MatchedDenoiser",
    "PINNEDDenoiser",
    "PoissonGaussianNoise",
    "SCGNDenoiser",
    "STEMNoise",
    "SplitPairs",
    "__version__",
    "datasets",
    "degradation",
    "denoise",
    "drift",
    "engine",
    "inspection",
    "io",
    "localize",
    "losses",
    "metrics",
    "networks",
    "noise",
    "utils",
]

# Public name -> the subpackage that defines it; every other name in __all__ is a subpackage.
_DEFINED_IN = {
    "AtomLocator": "localize",
    "BlindSpotDenoiser": "denoise",
    "CompositeDegradationNoise": "noise",
    "DriftDecayModel": "drift",
    "HRTEMNoise": "noise",
    "MatchedDenoiser": "denoise",
    "PINNEDDenoiser": "denoise",
    "PoissonGaussianNoise": "noise",
    "SCGNDenoiser": "denoise",
    "STEMNoise": "noise",
    "SplitPairs": "denoise",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _DEFINED_IN:
        return getattr(import_module(f"{__name__}.{_DEFINED_IN[name]}"), name)
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return __all__
