from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from .._constraints import Constraints, Interval, Options
from .._random import RandomState
from .._validation import Float32Array
from ..losses import physics_informed_terms
from ..networks.pinned import PINNED
from ._loss import Loss
from ._sources import Scaling
from ._supervised import SupervisedDenoiser

_WEIGHT_OF_LOSS = Interval(float, 0, None)


class PINNEDDenoiser(SupervisedDenoiser):
    r"""Denoise frames of crystals with the encoder-decoder of the PINNED paper and its loss.

    The loss is :math:`L_{MSE} + \lambda_{TV} L_{TV} + \lambda_{SF} L_{SF} + \lambda_B L_B +
    \lambda_C L_C`: beside the mean square error, the total variation of what comes out, and how far
    its spectrum, mean and standard deviation are from those of the target, on intensities from 0 to
    1.

    Parameters
    ----------
    n_channels : int, default=32
        Channels of the network's first block, see :class:`stemkit.networks.PINNED`.
    n_blocks : int, default=3
        Blocks of the encoder.
    slope : float, default=0.01
        Slope of the leaky ReLU below zero.
    n_evidence : int, default=0
        Versions of each frame's periodic part that the network is given beside it; 0 is the
        paper's network.
    lambda_tv : float, default=0.01
        Weight of the total variation; 0 leaves the term out, as for the others.
    lambda_sf : float, default=0.1
        Weight of the spectral fidelity, with an orthonormal Fourier transform.
    lambda_b : float, default=0.1
        Weight of the brightness.
    lambda_c : float, default=0.1
        Weight of the contrast.
    tv_reduction : {"mean", "sum"}, default="mean"
        Total variation as a mean over pixels, so that its weight does not depend on how large
        frames are; or as the paper's sum.
    normalize : {"training", "frame"}, default="training"
        What frames to be denoised are taken for: frames on the scale of the training ones; or
        frames on any scale, each of which is brought to the mean and standard deviation of the
        noisy training frames, and what comes out is brought back.
    max_epochs : int, default=500
        Passes over the training frames.
    steps_per_epoch : int, default=100
        Batches of an epoch where X is a stream; otherwise each frame is in an epoch once.
    batch_size : int, default=5
        Frames of a step. It is halved, with a warning, where a GPU has too little memory.
    tile_size : int, default=256
        What the network sees at once, in px. Larger frames are cut into squares of this size at
        random places for training, and into overlapping tiles of about this size to be denoised.
    lr : float, default=1e-3
        Highest learning rate, of a linear rise and half a cosine down.
    flip : bool, default=True
        Turn frames upside down and left side right at random while training.
    noise : simulator of stemkit.noise, optional
        Makes noisy frames of clean ones, afresh for every batch.
    weights : "default", path or None, default=None
        To transform without fit, and for fit to start from: weights that `save_weights` wrote, or
        "default", those that are shipped: for the composite noise of all levels, on a scale of 0 to
        255, and crystals of any kind. They bring their own network; a `n_channels`, `n_blocks`,
        `slope` or `n_evidence` that says otherwise is an error. None is for a network of your own.
    checkpoint_dir : path, optional
        Where fit keeps checkpoints, and goes on from if it was stopped.
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
        The network, a :class:`stemkit.networks.PINNED`.
    history_ : DataFrame
        One row an epoch: step, lr, seconds, train_loss, and each term of the loss that is not left
        out, without its weight: train_mse, train_tv, train_sf, train_b and train_c.
    n_epochs_ : int
        Number of its rows.
    input_scaling_, target_scaling_ : tuple of float
        Offset and scale that standardise what comes in, and that take what comes out from 0..1 to
        the range of the targets.

    Notes
    -----
    The paper trains on 5 fixed pairs for 500 epochs:
    ``PINNEDDenoiser(flip=False).fit(noisy, clean)``. It gives no weights of its loss, no optimiser
    and no sizes. The weights here make each term a tenth to a third of the mean square error at the
    noise it was made for. Fresh noise for every batch learns far more of the noise than fixed
    pairs, which can be learnt by heart; and fresh crystals for every batch more of crystals:
    ``PINNEDDenoiser(n_evidence=2).fit(CrystalStream(CompositeDegradationNoise(level=[1, 2, 3])))``.

    At the higher levels most pixels hold nothing, and only the periodicity of the whole frame tells
    what was there. The paper's network sees about 40 px around each; ``n_evidence`` gives it
    what repeats in the frame, see :class:`stemkit.networks.PINNED`.

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
    >>> PINNEDDenoiser(weights="default").transform(noise.transform(clean)).shape
    (2, 32, 32)
    """

    _network = PINNED
    _default_weights = "pinned_cdn"
    _network_takes = ("n_channels", "n_blocks", "slope", "n_evidence")
    _unused_in_fit = frozenset({"normalize"})
    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        **SupervisedDenoiser._parameter_constraints,
        "n_channels": [Interval(int, 1, None)],
        "n_blocks": [Interval(int, 1, None)],
        "slope": [Interval(float, 0, 1, closed="left")],
        "n_evidence": [Interval(int, 0, None)],
        "lambda_tv": [_WEIGHT_OF_LOSS],
        "lambda_sf": [_WEIGHT_OF_LOSS],
        "lambda_b": [_WEIGHT_OF_LOSS],
        "lambda_c": [_WEIGHT_OF_LOSS],
        "tv_reduction": [Options("mean", "sum")],
        "normalize": [Options("training", "frame")],
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
        normalize: Literal["training", "frame"] = "training",
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
        least, most = targets.aminmax()
        return Scaling(float(least), float(most - least) or 1.0)

    def _denoise(self, frames: Float32Array) -> Float32Array:
        if self.normalize == "training":
            return super()._denoise(frames)
        self._ready_network()  # which may bring its scaling with it
        mean = frames.mean((1, 2), keepdims=True)
        spread = frames.std((1, 2), keepdims=True)
        spread[spread == 0] = 1
        offset, scale = map(np.float32, self.input_scaling_)
        denoised = super()._denoise((frames - mean) / spread * scale + offset)
        return (denoised - offset) / scale * spread + mean
