"""Torch modules, one architecture a file; they know nothing of estimators."""

from stemkit.networks._frame import rename_released
from stemkit.networks.degradation import DegradationNet
from stemkit.networks.idf import IDF
from stemkit.networks.pinned import PINNED
from stemkit.networks.scgn import SCGN
from stemkit.networks.sfin import SFIN
from stemkit.networks.udvd import UDVD
from stemkit.networks.unet import UNet

__all__ = ["IDF", "PINNED", "SCGN", "SFIN", "UDVD", "DegradationNet", "UNet", "rename_released"]
