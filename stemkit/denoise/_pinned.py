"""The denoiser of the PINNED paper: an encoder-decoder with a physics-informed loss."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from .._constraints import Constraints, Interval, Options, without
from .._random import RandomState
from .._validation import BadPixels, Float32Array
from ..losses import physics_informed_terms
from ..networks.pinned import PINNED
from ._domain import warn_of_domain
from ._inference import is_cut
from ._lattice_tiles import has_lattice_prior, slow_variation
from ._loss import Loss
from ._sources import Scaling
from ._supervised import SupervisedDenoiser

_WEIGHT_OF_LOSS = Interval(float, 0, None)


class PINNEDDenoiser(SupervisedDenoiser):
    r"""Denoise frames of crystals with the encoder-decoder of the PINNED paper and its loss.

    With the shipped weights, and whenever ``n_evidence`` is above 0, the network restores the
    lattice that it finds in each frame, over holes, dopants and other defects too: they may be
    missing from the result. It then warns with
    :class:`~stemkit.exceptions.LatticePriorWarning`. Use ``n_evidence=0``, or search for defects in
    the noisy frames.

    The loss is :math:`L_{MSE} + \lambda_{TV} L_{TV} + \lambda_{SF} L_{SF} + \lambda_B L_B +
    \lambda_C L_C`: the mean square error, the total variation of the output, and the distances of
    its spectrum, mean and standard deviation from those of the target, on intensities from 0 to 1.

    Parameters
    ----------
    n_channels : int, default=32
        Channels of the network's first block, see :class:`stemkit.networks.PINNED`.
    n_blocks : int, default=3
        Blocks of the encoder.
    slope : float, default=0.01
        Slope of the leaky ReLU below zero.
    n_evidence : int, default=0
        Number of inputs that hold the periodic part of the frame, as a lattice prior: the frame is
        passed through as many learned intensity curves, and each result is projected onto the
        harmonics of the lattice that its spectrum shows. 0 is the paper's network, without prior.
    lambda_tv : float, default=0.01
        Weight of the total variation; a weight of 0 omits the term.
    lambda_sf : float, default=0.1
        Weight of the spectral fidelity, with an orthonormal Fourier transform.
    lambda_b : float, default=0.1
        Weight of the brightness.
    lambda_c : float, default=0.1
        Weight of the contrast.
    tv_reduction : {"mean", "sum"}, default="mean"
        Total variation as a mean over pixels, whose weight does not depend on the frame's size, or
        as the paper's sum.
    normalize : {"frame", "training"}, default="frame"
        Intensity scale of frames to be denoised. "frame": any scale; each frame is scaled to the
        mean and standard deviation of the noisy training frames, and its result back to the frame's
        own scale. "training": that of the training frames, as in the paper; on its noise this gains
        0.03 to 0.16 dB.
    max_epochs : int, default=500
        Passes over the training frames.
    steps_per_epoch : int, default=100
        Batches of an epoch if X is a stream; otherwise each frame occurs once in an epoch.
    batch_size : int, default=5
        Frames of a step. It is halved, with a warning, if a GPU has too little memory.
    tile_size : int, default=256
        Side in px of the squares that larger frames are cut into: at random places for training,
        and as overlapping tiles of about this size to be denoised.
    lr : float, default=1e-3
        Highest learning rate, of a linear rise and half a cosine down.
    flip : bool, default=True
        Flip training frames vertically and horizontally at random.
    noise : simulator of stemkit.noise or callable, optional
        Makes noisy frames from clean ones, afresh for every batch, see :class:`NetworkDenoiser`.
    weights : "default", path or None, default=None
        Weights for transform without fit, and for fit to start from: those of a file that
        `save_weights` wrote, or "default", the shipped ones, for composite noise of all levels on a
        scale of 0 to 255 and crystals of any kind. They determine the network; another
        `n_channels`, `n_blocks`, `slope` or `n_evidence` is an error. None trains a new network.
    checkpoint_dir : path, optional
        Folder in which fit keeps checkpoints, and from which it continues if it was stopped.
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
        The network, a :class:`stemkit.networks.PINNED`.
    history_ : DataFrame
        One row per epoch: step, lr, seconds, train_loss, and each term of the loss without its
        weight: train_mse, train_tv, train_sf, train_b and train_c.
    n_epochs_ : int
        Number of its rows.
    input_scaling_, target_scaling_ : tuple of float
        Offset and scale that standardise inputs, and that bring outputs from 0..1 to the range of
        the targets.

    Notes
    -----
    The paper trains on 5 fixed pairs for 500 epochs:
    ``PINNEDDenoiser(flip=False).fit(noisy, clean)``. It gives no weights of its loss, no optimiser
    and no sizes. With the weights here each term is a tenth to a third of the mean square error at
    the noise it was made for. A network memorises fixed pairs; it learns more of the noise from
    fresh noise, and more of crystals from fresh crystals, in every batch:
    ``PINNEDDenoiser(n_evidence=2).fit(CrystalStream(CompositeDegradationNoise(level=[1, 2, 3])))``.

    At the higher levels most pixels carry no signal, and only the periodicity of the whole frame
    determines the specimen. The paper's network covers about 40 px around each pixel; with
    ``n_evidence`` it is given the periodic part of the frame, see :class:`stemkit.networks.PINNED`.

    References
    ----------
    Awan et al., "Physics informed neural network enhanced denoising for atomic resolution STEM
    imaging".

    Examples
    --------
    >>> from stemkit import PINNEDDenoiser
    >>> from stemkit.datasets import make_crystal_images
    >>> from stemkit.noise import CompositeDegradationNoise
    >>> clean = make_crystal_images("GaN", 2, shape=(32, 32), random_state=0).frames
    >>> noise = CompositeDegradationNoise(level=1, random_state=0)
    >>> model = PINNEDDenoiser(n_channels=4, max_epochs=2, noise=noise, random_state=0)
    >>> model.fit(clean).transform(noise.fit_transform(clean)).shape
    (2, 32, 32)

    The shipped weights have a lattice prior. This crystal has no defects that it could hide:

    >>> import warnings
    >>> from stemkit.exceptions import LatticePriorWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", LatticePriorWarning)
    ...     PINNEDDenoiser(weights="default").transform(noise.transform(clean)).shape
    (2, 32, 32)
    """

    _network = PINNED
    _default_weights = "pinned_cdn"
    _network_takes = ("n_channels", "n_blocks", "slope", "n_evidence")
    _unused_in_fit = frozenset({"normalize"})
    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        **without(SupervisedDenoiser, "loss"),
        "n_channels": [Interval(int, 1, None)],
        "n_blocks": [Interval(int, 1, None)],
        "slope": [Interval(float, 0, 1, closed="left")],
        "n_evidence": [Interval(int, 0, None)],
        "lambda_tv": [_WEIGHT_OF_LOSS],
        "lambda_sf": [_WEIGHT_OF_LOSS],
        "lambda_b": [_WEIGHT_OF_LOSS],
        "lambda_c": [_WEIGHT_OF_LOSS],
        "tv_reduction": [Options("mean", "sum")],
        "normalize": [Options("frame", "training")],
    }

    def __init__(
        self,
        *,
        n_channels: int = 32,
        n_blocks: int = 3,
        slope: float = 0.01,
        n_evidence: int = 0,
        lambda_tv: float = 1e-2,
        lambda_sf: float = 0.1,
        lambda_b: float = 0.1,
        lambda_c: float = 0.1,
        tv_reduction: Literal["mean", "sum"] = "mean",
        normalize: Literal["frame", "training"] = "frame",
        max_epochs: int = 500,
        steps_per_epoch: int = 100,
        batch_size: int = 5,
        tile_size: int = 256,
        lr: float = 1e-3,
        flip: bool = True,
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
        self.n_channels = n_channels
        self.n_blocks = n_blocks
        self.slope = slope
        self.n_evidence = n_evidence
        self.lambda_tv = lambda_tv
        self.lambda_sf = lambda_sf
        self.lambda_b = lambda_b
        self.lambda_c = lambda_c
        self.tv_reduction = tv_reduction
        self.normalize = normalize

    def _criterion(self) -> Loss:
        return partial(
            physics_informed_terms,
            tv=self.lambda_tv,
            sf=self.lambda_sf,
            b=self.lambda_b,
            c=self.lambda_c,
            tv_reduction=self.tv_reduction,
        )

    def _scaling_of_targets(self, targets: Tensor) -> Scaling:
        lowest, highest = targets.aminmax()
        return Scaling(float(lowest), float(highest - lowest) or 1.0)

    def _denoise(self, frames: Float32Array) -> Float32Array:
        self._ready_network()  # loads the scaling too, if the weights are from a file
        if self.normalize == "training":
            warn_of_domain(self, frames, scaled=False)
            return super()._denoise(frames)
        if is_cut(frames.shape[1:], self.tile_size, self._at_once) and has_lattice_prior(
            self.module_
        ):
            slow = slow_variation(frames)
            return self._denoise_any_scale(frames - slow) + slow
        return self._denoise_any_scale(frames)

    def _denoise_any_scale(self, frames: Float32Array) -> Float32Array:
        mean = frames.mean((1, 2), keepdims=True, dtype=np.float64)
        spread = np.array([[[np.std(frame, dtype=np.float64)]] for frame in frames])
        spread[spread <= 1e-6 * np.abs(mean)] = 1  # rounding errors of a constant frame
        offset, scale = self.input_scaling_
        scaled = ((frames - mean) / spread * scale + offset).astype(np.float32)
        warn_of_domain(self, scaled, scaled=True)
        denoised = super()._denoise(scaled)
        return ((denoised - offset) / scale * spread + mean).astype(np.float32)
