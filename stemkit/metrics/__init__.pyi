from ._atom_f1 import atom_f1 as atom_f1
from ._blind_spot_scorer import (
    BlindSpotScorer as BlindSpotScorer,
    blind_spot_scorer as blind_spot_scorer,
)
from ._edges import epi as epi, gradient_correlation as gradient_correlation
from ._image import atom_iou as atom_iou, psnr as psnr, ssim as ssim
from ._localization import atom_score as atom_score
from ._scorers import get_scorer as get_scorer, get_scorer_names as get_scorer_names
from ._spectral import (
    fourier_ring_correlation as fourier_ring_correlation,
    fsc as fsc,
    spectrum_cosine as spectrum_cosine,
)
from ._split_scorer import SplitScorer as SplitScorer, split_scorer as split_scorer
