"""The denoiser of the SCGN paper, for atoms in HRTEM frames of short exposures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from torch import Tensor

from .._constraints import Constraints, Interval, Options
from .._frame_statistics import spectral_statistics
from .._random import RandomState
from .._validation import BadPixels, Float32Array
from .._warnings import warn_once
from ..networks.scgn import LAYOUTS, SCGN, BandWeighting, Layout
from ._domain import warn_of_domain
from ._inference import N_VIEWS, mean_of_views
from ._loss import Loss
from ._matching import enlarge, match_frame
from ._pretrained import CheckpointMixin, read_released
from ._supervised import SupervisedDenoiser


class SCGNDenoiser(CheckpointMixin, SupervisedDenoiser):
    """Denoise with the statistical characteristic-guided network.

    It was designed for short exposures in which atoms are hardly visible, as those of nucleation,
    and for targets with a dot for each atom; it can be trained on any pairs of frames and targets.

    Parameters
    ----------
    n_blocks : int, default=8
        Blocks of the network.
    n_channels : int, default=64
        Channels of the network, even.
    deviation_weighting : bool, default=True
        Weight convolutions, pixel by pixel, by the local standard deviation.
    band_weighting : {"band", "channel"} or None, default="band"
        Weight bands of the spectrum by their mean and peak, by their mean alone, or not.
    position_embedding : bool, default=True
        Give the network the position in the spectrum as an input.
    layout : {"stemkit", "paper", "released"}, default="stemkit"
        Variant, for the points in which the paper's text, the authors' code and ours differ, see
        :class:`stemkit.networks.SCGN`.
    loss : {"l1", "l2"} or callable, default="l1"
        Mean absolute or mean square error, or a function, see :class:`NetworkDenoiser`.
    max_epochs : int, default=100
        Passes over the training frames.
    steps_per_epoch : int, default=100
        Batches of an epoch if X is a stream; otherwise each frame occurs once in an epoch.
    batch_size : int, default=6
        Frames of a step. It is halved, with a warning, if a GPU has too little memory.
    tile_size : int, default=256
        Side in px of the squares that larger frames are cut into for training, at random places.
        To be denoised, frames of more than twice this side are cut into overlapping tiles of about
        this size.
    lr : float, default=2e-4
        Highest learning rate, of a linear rise and half a cosine down.
    flip : bool, default=True
        Flip training frames vertically and horizontally at random. They are not rotated by
        90 degrees, since columns and rows of a camera have different noise.
    normalize : {"auto", "frame", "training"}, default="auto"
        Scale of frames to be denoised. "training": that of the training frames. "frame": any; each
        frame is scaled until its median and its noise are those of the training frames, and binned
        if its atoms are larger, and the dots are mapped back. "auto" is "frame" for the shipped
        weights, unless they were trained further.
    n_views : {1, 4, 8}, default=1
        Average the results for the frame flipped both ways, for 8 transposed too. It takes 4 or 8
        times as long and gained 0.17 or 0.20 dB in our benchmark.
    noise : simulator of stemkit.noise or callable, optional
        Makes noisy frames from clean ones, afresh for every batch, see :class:`NetworkDenoiser`. A
        fitted simulator is used as it is; to keep its calibration through `clone` and grid
        searches wrap it in `sklearn.frozen.FrozenEstimator`.
    weights : "default", path or None, default=None
        Weights for transform without fit, and for fit to start from: those of a file that
        `save_weights` wrote, or "default", the shipped ones, see the notes. They determine the
        network; another value of one of its parameters is an error. None trains a new network.
    checkpoint_dir : path, optional
        Folder in which fit keeps checkpoints, after each epoch and every 50 steps of a longer one,
        and from which it continues if it was stopped.
    device : {"auto", "cpu", "cuda", "cuda:1", ...}, default="auto"
        The first GPU if there is one, else the CPU.
    precision : {"auto", "32-true", "bf16-mixed"}, default="auto"
        bfloat16 on GPUs that compute in it, else float32.
    random_state : int, Generator, RandomState or None, default=None
        Seed of the network's first weights, the order of frames, their squares and noise.
    verbose : int, default=0
        1 shows progress.
    bad_pixels : {"repair"} or None, default="repair"
        Fill pixels that are NaN, masked, stuck or hit by X-rays, and bad rows and columns, from
        their neighbours, with a :class:`~stemkit.exceptions.BadPixelWarning`. With None, frames
        are used as they are, and NaN is an error.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network, a :class:`stemkit.networks.SCGN`.
    history_ : DataFrame
        One row per epoch: step, lr, seconds, train_loss (of standardised frames).
    n_epochs_ : int
        Number of its rows.
    input_scaling_, target_scaling_ : tuple of float
        Offset and scale that standardise inputs and targets.
    input_noise_ : float or None
        Standard deviation of the noise in a first batch of training frames, from their finest
        detail; None if the weights don't record it.

    See Also
    --------
    MatchedDenoiser : Brings frames of another scale to that of the weights, and dots back.
    NetworkDenoiser : Trains any network; its page describes all parameters of training.

    Notes
    -----
    The shipped weights draw a dot for each atom of nuclei, in HRTEM frames with bright atoms of a
    standard deviation from 1.3 to 1.8 px and white noise. Frames in any unit, and with larger
    atoms, are brought to that scale, frame by frame. An
    :class:`~stemkit.exceptions.OutOfDomainWarning` is issued for dark atoms, atoms of another size,
    and noise that neighbouring pixels share, for which the network invents atoms. Slow changes of
    brightness are subtracted by :class:`MatchedDenoiser`.
    The network has 4 blocks of 32 channels, and was trained on simulated frames on a CPU.

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

    Train a new network:

    >>> model = SCGNDenoiser(n_blocks=1, n_channels=4, max_epochs=2, random_state=0)
    >>> model.fit(data.noisy, data.target).transform(data.noisy).shape
    (4, 32, 32)
    """

    _network = SCGN
    _default_weights = "scgn_nuc"
    # Tiles of frames of 512 px take a quarter more time, and differ by 0.1 dB at most.
    _at_once = 2
    _network_takes = (
        "n_blocks",
        "n_channels",
        "deviation_weighting",
        "band_weighting",
        "position_embedding",
        "layout",
    )
    _unused_in_fit = frozenset({"n_views", "normalize"})
    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        **SupervisedDenoiser._parameter_constraints,
        "n_blocks": [Interval(int, 1, None)],
        "n_channels": [Interval(int, 2, None)],
        "deviation_weighting": ["boolean"],
        "band_weighting": [Options(*get_args(BandWeighting)), None],
        "position_embedding": ["boolean"],
        "layout": [Options(*LAYOUTS), Layout],
        "normalize": [Options("auto", "frame", "training")],
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
        normalize: Literal["auto", "frame", "training"] = "auto",
        n_views: int = 1,
        noise: Any = None,
        weights: str | os.PathLike[str] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
        bad_pixels: BadPixels = "repair",
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
            bad_pixels=bad_pixels,
        )
        self.n_blocks = n_blocks
        self.n_channels = n_channels
        self.deviation_weighting = deviation_weighting
        self.band_weighting = band_weighting
        self.position_embedding = position_embedding
        self.layout = layout
        self.normalize = normalize
        self.n_views = n_views

    def _denoise(self, frames: Float32Array) -> Float32Array:
        self._ready_network()  # loads the domain and the scaling too, if they are from a file
        if not self._is_normalized():
            warn_of_domain(self, frames, scaled=False)
            return self._denoise_views(frames)
        background, noise = self._scale()
        dots = np.empty(frames.shape, np.float32)
        with warn_once():
            for index, frame in enumerate(frames):
                bins = self._bins(frame)
                matched = match_frame(frame, bins, background, noise)[np.newaxis]
                warn_of_domain(self, matched, scaled=True)
                dots[index] = enlarge(self._denoise_views(matched)[0], bins, frame.shape)
        return dots

    def _denoise_views(self, frames: Float32Array) -> Float32Array:
        return mean_of_views(super()._denoise, frames, self.n_views)

    def _is_normalized(self) -> bool:
        if self.normalize == "auto":
            return self.weights == "default" and not hasattr(self, "n_epochs_")
        return self.normalize == "frame"

    def _scale(self) -> tuple[float, float]:
        """Return the median and the noise level of the training frames."""
        background = self.domain_.get("background", self.input_scaling_[0])
        noise = self.domain_.get("noise", self.input_noise_)
        if noise is None:
            raise ValueError(
                "normalize='frame' needs the noise level of the training frames, which these "
                "weights do not record; pass normalize='training'."
            )
        return background, noise

    def _bins(self, frame: Float32Array) -> tuple[int, ...]:
        """Return the pixels to average along each axis, so that atoms have the known size."""
        sigma = spectral_statistics(frame).atom_sigma
        known = self.domain_.get("atom_sigma")
        binning = round(sigma / np.sqrt(np.prod(known))) if known and sigma > known[1] else 1
        return tuple(min(binning, n) for n in frame.shape)

    @classmethod
    def _for_checkpoint(
        cls, weights: Mapping[str, Tensor], origin: str, parameters: Mapping[str, Any]
    ) -> tuple[Self, Mapping[str, Tensor]]:
        size, renamed = read_released(weights, origin)
        return cls(**{**size, "layout": "released", **parameters}), renamed
