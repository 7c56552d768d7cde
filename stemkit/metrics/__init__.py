"""How good an image is, and how good positions are: against the truth, and without it."""

from ._atom_f1 import atom_f1
from ._blind_spot_scorer import BlindSpotScorer, blind_spot_scorer
from ._edges import epi, gradient_correlation
from ._image import atom_iou, psnr, ssim
from ._localization import atom_score
from ._scorers import get_scorer, get_scorer_names
from ._spectral import fourier_ring_correlation, fsc, spectrum_cosine
from ._split_scorer import SplitScorer, split_scorer

__all__ = [
    "BlindSpotScorer",
    "SplitScorer",
    "atom_f1",
    "atom_iou",
    "atom_score",
    "blind_spot_scorer",
    "epi",
    "fourier_ring_correlation",
    "fsc",
    "get_scorer",
    "get_scorer_names",
    "gradient_correlation",
    "psnr",
    "spectrum_cosine",
    "split_scorer",
    "ssim",
]
