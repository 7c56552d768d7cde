from ._device import pick_device as pick_device, pick_precision as pick_precision
from ._fingerprint import fit_parameters as fit_parameters
from ._sources import ArraySource as ArraySource, Source as Source, StreamSource as StreamSource
from .inference import run_tiled as run_tiled
from .training import (
    FitResult as FitResult,
    fit_module as fit_module,
    learning_rate as learning_rate,
)
from .weights import (
    list_weights as list_weights,
    load_card as load_card,
    load_weights as load_weights,
    put_weights as put_weights,
    read_checkpoint as read_checkpoint,
    save_weights as save_weights,
)
