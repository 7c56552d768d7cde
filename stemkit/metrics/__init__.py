"""How good an image is, and how good positions are, against the truth."""

from ._image import atom_iou, psnr, ssim
from ._localization import atom_score

__all__ = ["atom_iou", "atom_score", "psnr", "ssim"]
