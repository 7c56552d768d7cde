"""Denoisers, frames and sizes of the benchmark of SCGN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from _scgn_beyond import (
    AveragedSCGN,
    ConstantRateSCGN,
    HigherMomentsSCGN,
    LargerCropsSCGN,
    UnshuffledSCGN,
    WideViewSCGN,
)
from numpy.typing import NDArray
from sklearn.utils import Bunch

from stemkit.datasets import NucleationStream, make_nucleation, make_stem_lattice
from stemkit.denoise import (
    Denoiser,
    GaussianDenoiser,
    LoGRenderDenoiser,
    NetworkDenoiser,
    SCGNDenoiser,
    SupervisedDenoiser,
)
from stemkit.networks.scgn import LAYOUTS

# Peak and sigma in px of the dots in targets of make_nucleation.
DOT_PEAK, DOT_SIGMA = 255.0, 0.75
# Seed of the test frames. Seeds of trainings start at 0, so no training uses it.
TEST_SEED = 20_000


class Budget(NamedTuple):
    """Size of the networks and of their training, to fit a machine."""

    n_blocks: int
    n_channels: int
    side: int
    """Side of training frames in px."""
    batch_size: int
    steps: int
    lr: float
    minutes: float
    """A run stops after this time; the next call resumes it."""


BUDGETS = {
    "cpu": Budget(4, 32, 64, 8, 3_500, 2e-3, np.inf),
    "gpu": Budget(8, 64, 256, 6, 16_700, 1e-3, 9.0),
}


class Data(NamedTuple):
    """Simulator of training and test frames."""

    make: Callable[..., Bunch]
    options: dict[str, Any]

    def stream(self, batch_size: int, side: int, device: str) -> Callable[..., Any]:
        """Return a function that makes a batch (noisy, target) from a random generator."""
        if self.make is make_nucleation:
            stream = NucleationStream(batch_size, (side, side), device=device, **self.options)
            return stream.make_batch

        def make_batch(generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            seed = int(generator.integers(2**31))
            data = self.make(batch_size, (side, side), random_state=seed, **self.options)
            return torch.from_numpy(data.noisy), torch.from_numpy(data.target)

        return make_batch

    def test(self, n_frames: int) -> Bunch:
        """Return test frames of 256 x 256 px, which are in no training set."""
        return self.make(n_frames, random_state=TEST_SEED, **self.options)


DATA = {
    "NUC": Data(make_nucleation, {}),
    "NUC, high contrast": Data(make_nucleation, {"contrast": "high"}),
    "TEMImageNet-like": Data(make_stem_lattice, {"style": "temimagenet"}),
    "SFIN-like": Data(make_stem_lattice, {"style": "sfin"}),
}


class EmptyFrame(Denoiser):
    """Return black frames: the baseline of PSNR, since most of a target is black."""

    def _denoise(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.zeros_like(frames)


# Denoisers that need no training, and the settings to choose from.
CLASSICAL: dict[str, tuple[Denoiser, Any]] = {
    "Gaussian": (GaussianDenoiser(), {"sigma": [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]}),
    "LoG and render": (
        LoGRenderDenoiser(),
        [
            {"sigma": [1.15], "threshold": [3.0, 3.5, 4.0]},
            *(
                {"sigma": [size], "dot_sigma": [size], "peak": [100.0, 150.0, 200.0, 250.0]}
                for size in (1.5, 2.0, 3.0, 4.0, 6.0)
            ),
        ],
    ),
    "empty frame": (EmptyFrame(), {}),
}

# The rows of the paper's Table 3.
ABLATION: dict[str, dict[str, Any]] = {
    "V1": {"deviation_weighting": False, "band_weighting": None, "position_embedding": False},
    "V2": {"deviation_weighting": False},
    "V3": {"band_weighting": None, "position_embedding": False},
    "V4": {"band_weighting": "channel", "position_embedding": False},
    "V5": {"position_embedding": False},
}
# stemkit's differences from the authors' code, undone one at a time, and all at once.
UNDONE: dict[str, dict[str, Any]] = {
    "SCGN, spectra with their mean": {"layout": LAYOUTS["stemkit"]._replace(centred=False)},
    "SCGN, positions by index": {"layout": LAYOUTS["stemkit"]._replace(coordinates="index")},
    "SCGN, a convolution before pooling": {"layout": LAYOUTS["stemkit"]._replace(gate_conv=True)},
    "SCGN, released layout": {"layout": "released"},
    "SCGN, the paper's layout": {"layout": "paper"},
}
# SCGN itself, its variants that are not in the paper, and SCGN without a schedule.
SCGN_VARIANTS: dict[str, type[SCGNDenoiser]] = {
    "SCGN": AveragedSCGN,
    "SCGN, larger crops at the end": LargerCropsSCGN,
    "SCGN, higher moments": HigherMomentsSCGN,
    "SCGN, unshuffled": UnshuffledSCGN,
    "SCGN, wide view": WideViewSCGN,
    "SCGN, constant rate": ConstantRateSCGN,
}
# Other networks: their name in stemkit, and which sizes of the budget they take.
OTHER_NETWORKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "AtomSegNet": ("unet", ("n_channels",)),
    "SFIN": ("sfin", ("n_blocks", "n_channels")),
    "IDF": ("idf", ()),
}
NETWORKS = [*OTHER_NETWORKS, *SCGN_VARIANTS, *ABLATION, *UNDONE]


def make_network(name: str, budget: Budget, **settings: Any) -> SupervisedDenoiser:
    """Return an unfitted estimator; SFIN and SCGN have the size of the budget."""
    size = {"n_blocks": budget.n_blocks, "n_channels": budget.n_channels}
    if name in OTHER_NETWORKS:
        network, takes = OTHER_NETWORKS[name]
        parameters = {key: size[key] for key in takes}
        return NetworkDenoiser(network=network, network_parameters=parameters, **settings)
    if name in SCGN_VARIANTS:
        return SCGN_VARIANTS[name](**size, **settings)
    return SCGNDenoiser(**size, **(ABLATION | UNDONE)[name], **settings)
