"""How good an image is, and how good positions are, against the truth."""

from ._edges import epi, gradient_correlation
from ._image import atom_iou, psnr, ssim
from ._localization import atom_score
from ._spectral import fourier_ring_correlation, fsc, spectrum_cosine

__all__ = [
    "atom_iou",
    "atom_score",
    "epi",
    "fourier_ring_correlation",
    "fsc",
    "gradient_correlation",
    "psnr",
    "spectrum_cosine",
    "ssim",
]
