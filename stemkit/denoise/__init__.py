"""Denoisers of frames: transformers that learn from pairs, and classical ones beside them."""

from ._classical import GaussianDenoiser, LoGRenderDenoiser
from ._idf import IDFDenoiser
from ._pinned import PINNEDDenoiser
from ._scgn import SCGNDenoiser
from ._sfin import SFINDenoiser
from ._unet import UNetDenoiser

__all__ = [
    "GaussianDenoiser",
    "IDFDenoiser",
    "LoGRenderDenoiser",
    "PINNEDDenoiser",
    "SCGNDenoiser",
    "SFINDenoiser",
    "UNetDenoiser",
]
