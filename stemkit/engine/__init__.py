"""What every network shares, and nothing about any one of them: training, inference, weights."""

from stemkit.engine._device import pick_device, pick_precision
from stemkit.engine._sources import ArraySource, Source, StreamSource
from stemkit.engine.inference import run_tiled
from stemkit.engine.training import FitResult, fit_module, learning_rate
from stemkit.engine.weights import (
    list_weights,
    load_card,
    load_weights,
    put_weights,
    read_checkpoint,
    save_weights,
)

__all__ = [
    "ArraySource",
    "FitResult",
    "Source",
    "StreamSource",
    "fit_module",
    "learning_rate",
    "list_weights",
    "load_card",
    "load_weights",
    "pick_device",
    "pick_precision",
    "put_weights",
    "read_checkpoint",
    "run_tiled",
    "save_weights",
]
