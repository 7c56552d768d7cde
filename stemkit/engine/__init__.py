"""What every network shares, and nothing about any one of them: training, inference, weights."""

from stemkit.engine._device import pick_device, pick_precision
from stemkit.engine._sources import ArraySource, Source, StreamSource
from stemkit.engine.training import FitResult, fit_module, learning_rate

__all__ = [
    "ArraySource",
    "FitResult",
    "Source",
    "StreamSource",
    "fit_module",
    "learning_rate",
    "pick_device",
    "pick_precision",
]
