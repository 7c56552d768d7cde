"""Denoisers of frames: transformers that learn from pairs, and classical ones beside them."""

from ._base import Denoiser
from ._blind_spot import BlindSpotDenoiser
from ._classical import GaussianDenoiser, LoGRenderDenoiser
from ._idf import IDFDenoiser
from ._matched import MatchedDenoiser
from ._pinned import PINNEDDenoiser
from ._scgn import SCGNDenoiser
from ._sfin import SFINDenoiser
from ._split import SplitPairs
from ._supervised import SupervisedDenoiser
from ._udvd import UDVDDenoiser
from ._unet import UNetDenoiser

__all__ = [
    "BlindSpotDenoiser",
    "Denoiser",
    "GaussianDenoiser",
    "IDFDenoiser",
    "LoGRenderDenoiser",
    "MatchedDenoiser",
    "PINNEDDenoiser",
    "SCGNDenoiser",
    "SFINDenoiser",
    "SplitPairs",
    "SupervisedDenoiser",
    "UDVDDenoiser",
    "UNetDenoiser",
]
