from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args

from torch import Tensor

from .._constraints import Constraints, Interval, Options
from .._random import RandomState
from .._validation import Float32Array
from ..networks.scgn import LAYOUTS, SCGN, BandWeighting, Layout
from ._inference import N_VIEWS, mean_of_views
from ._loss import Loss
from ._pretrained import CheckpointMixin, read_released
from ._supervised import SupervisedDenoiser


class SCGNDenoiser(CheckpointMixin, SupervisedDenoiser):
    """Denoise with the statistical characteristic-guided network.

    Made for frames so short that atoms can hardly be seen, as those of nucleation, and to give
    dots where atoms are. It learns whatever it is shown: pairs of a noisy frame and its target.

    Parameters
    ----------
    n_blocks : int, default=8
        Blocks of the network.
    n_channels : int, default=64
        Channels of the network, even.
    deviation_weighting : bool, default=True
        Weigh convolutions, pixel by pixel, by the local standard deviation.
    band_weighting : {"band", "channel"} or None, default="band"
        Weigh bands of the spectrum by their mean and peak, by their mean alone, or not.
    position_embedding : bool, default=True
        Tell the network where in the spectrum it is.
    layout : {"stemkit", "paper", "released"}, default="stemkit"
        Which variant where the paper's text, the authors' code and ours differ, see
        :class:`stemkit.networks.SCGN`.
    loss : {"l1", "l2"}, default="l1"
        Mean absolute or mean square error.
    max_epochs : int, default=100
        Passes over the training frames.
    steps_per_epoch : int, default=100
        Batches of an epoch where X is a stream; otherwise each frame is in an epoch once.
    batch_size : int, default=6
        Frames of a step. It is halved, with a warning, where a GPU has too little memory.
    tile_size : int, default=256
        Side of what the network learns from, in px. Larger frames are cut into squares of this size
        at random places; to be denoised, frames of more than twice this side are cut into
        overlapping tiles of about this size.
    lr : float, default=2e-4
        Highest learning rate, of a linear rise and half a cosine down.
    flip : bool, default=True
        Turn frames upside down and left side right at random while training. They are not turned
        by 90 degrees: columns and rows of a camera have noise of their own.
    n_views : {1, 4, 8}, default=1
        Give the mean of what becomes of a frame turned over both ways, for 8 transposed too. It
        takes 4 or 8 times as long and, where measured, gave 0.17 or 0.20 dB more.
    noise : simulator of stemkit.noise, optional
        Makes noisy frames of clean ones, afresh for every batch. A fitted one is used as it is;
        to keep its calibration through `clone` and grid searches wrap it in
        `sklearn.frozen.FrozenEstimator`.
    weights : "default", path or None, default=None
        To transform without fit, and for fit to start from: weights that `save_weights` wrote, or
        "default", those that are shipped, see the notes. They bring their own network; a parameter
        of the network that says otherwise is an error. None is for a network of your own.
    checkpoint_dir : path, optional
        Where fit keeps checkpoints, after each epoch and every 50 steps of a longer one, and goes
        on from if it was stopped.
    device : {"auto", "cpu", "cuda", "cuda:1", ...}, default="auto"
        The first GPU if there is one, else the CPU.
    precision : {"auto", "32-true", "bf16-mixed"}, default="auto"
        bfloat16 on GPUs that compute in it, else float32.
    random_state : int, Generator, RandomState or None, default=None
        Seed of the network's first weights, the order of frames, their squares and noise.
    verbose : int, default=0
        1 shows progress.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network, a :class:`stemkit.networks.SCGN`.
    history_ : DataFrame
        One row an epoch: step, lr, seconds, train_loss (of standardised frames).
    n_epochs_ : int
        Number of its rows.
    input_scaling_, target_scaling_ : tuple of float
        Offset and scale that standardise what comes in and what comes out.
    input_noise_ : float or None
        Standard deviation of the noise of a first batch of training frames, by their finest detail;
        None where weights don't tell.

    See Also
    --------
    MatchedDenoiser : Brings frames of another scale to that of the weights, and dots back.

    Notes
    -----
    The shipped weights give dots of nuclei: frames of HRTEM with a background near 100 counts and
    atoms of a standard deviation from 1.3 to 1.8 px. Bring frames of your own to that scale first,
    with :class:`MatchedDenoiser`.
    The network has 4 blocks of 32 channels, and learned from fresh frames on a CPU.

    The paper trains with batches of 6, a constant rate of 2e-4 and without flips for 100 epochs of
    1,000 pairs.

    References
    ----------
    H. Li, Z. Wu, R. Shao, Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
    High-Resolution Transmission Electron Microscopy Imaging".

    Examples
    --------
    >>> from stemkit import SCGNDenoiser
    >>> from stemkit.datasets import make_nucleation
    >>> data = make_nucleation(4, shape=(32, 32), random_state=0)
    >>> SCGNDenoiser(weights="default").transform(data.noisy).shape
    (4, 32, 32)

    And trained by oneself:

    >>> model = SCGNDenoiser(n_blocks=1, n_channels=4, max_epochs=2, random_state=0)
    >>> model.fit(data.noisy, data.target).transform(data.noisy).shape
    (4, 32, 32)
    """

    _network = SCGN
    _default_weights = "scgn_nuc"
    # For frames of 512 px tiles take a quarter more time, and change a tenth of a dB at most.
    _at_once = 2
    _network_takes = (
        "n_blocks",
        "n_channels",
        "deviation_weighting",
        "band_weighting",
        "position_embedding",
        "layout",
    )
    _unused_in_fit = frozenset({"n_views"})
    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        **SupervisedDenoiser._parameter_constraints,
        "n_blocks": [Interval(int, 1, None)],
        "n_channels": [Interval(int, 2, None)],
        "deviation_weighting": ["boolean"],
        "band_weighting": [Options(*get_args(BandWeighting)), None],
        "position_embedding": ["boolean"],
        "layout": [Options(*LAYOUTS), Layout],
        "n_views": [Options(*N_VIEWS)],
    }

    def __init__(
        self,
        *,
        n_blocks: int = 8,
        n_channels: int = 64,
        deviation_weighting: bool = True,
        band_weighting: BandWeighting | None = "band",
        position_embedding: bool = True,
        layout: str | Layout = "stemkit",
        loss: Literal["l1", "l2"] | Loss = "l1",
        max_epochs: int = 100,
        steps_per_epoch: int = 100,
        batch_size: int = 6,
        tile_size: int = 256,
        lr: float = 2e-4,
        flip: bool = True,
        n_views: int = 1,
        noise: Any = None,
        weights: str | os.PathLike[str] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            loss=loss,
            max_epochs=max_epochs,
            steps_per_epoch=steps_per_epoch,
            batch_size=batch_size,
            tile_size=tile_size,
            lr=lr,
            flip=flip,
            noise=noise,
            weights=weights,
            checkpoint_dir=checkpoint_dir,
            device=device,
            precision=precision,
            random_state=random_state,
            verbose=verbose,
        )
        self.n_blocks = n_blocks
        self.n_channels = n_channels
        self.deviation_weighting = deviation_weighting
        self.band_weighting = band_weighting
        self.position_embedding = position_embedding
        self.layout = layout
        self.n_views = n_views

    def _denoise(self, frames: Float32Array) -> Float32Array:
        return mean_of_views(super()._denoise, frames, self.n_views)

    @classmethod
    def _for_checkpoint(
        cls, weights: Mapping[str, Tensor], origin: str, parameters: Mapping[str, Any]
    ) -> tuple[Self, Mapping[str, Tensor]]:
        size, renamed = read_released(weights, origin)
        return cls(**{**size, "layout": "released", **parameters}), renamed
