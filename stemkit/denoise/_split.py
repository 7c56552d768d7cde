"""Noise2Noise: training on two noisy exposures of each field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import clone
from torch import Tensor

from .._constraints import Constraints, HasMethods, Interval
from .._validation import BAD_PIXELS, BadPixels, Float32Array, check_stack, without_repair
from ..metrics import SplitScorer
from ..noise import split_exposure
from ._base import Denoiser, check_target
from ._blind_spot import BlindSpotDenoiser
from ._network import NetworkDenoiser
from ._sources import PairSource
from ._supervised import SupervisedDenoiser


class SplitPairs(Denoiser):
    """Train a denoiser on two noisy exposures of each field, without clean frames.

    A network that predicts one exposure from the other can only predict what the two have in
    common, the specimen [1]_. A single exposure is split in two afresh for every batch, if the
    noise of the camera is known.

    Parameters
    ----------
    denoiser : estimator, optional
        Denoiser to train on pairs, as :class:`SCGNDenoiser`. With ``loss="l2"`` it learns the
        mean, with "l1" the median, which is lower at low doses. By default a
        :class:`NetworkDenoiser` with ``loss="l2"``.
    noise : HRTEMNoise or PoissonGaussianNoise, optional
        The camera's noise, calibrated or with its parameters, to split single exposures; see
        :func:`stemkit.noise.split_exposure`. Wrap one that is calibrated in
        `sklearn.frozen.FrozenEstimator`, or a grid search discards the calibration.
    fraction : float, default=0.5
        Share of the dose of a split exposure that is the input; the rest is the target.
    bad_pixels : {"repair"} or None, default="repair"
        Fill pixels that are NaN, masked, stuck or hit by X-rays, and bad rows and columns, from
        their neighbours, with a :class:`~stemkit.exceptions.BadPixelWarning`. With None, frames
        are used as they are, and NaN is an error.

    Attributes
    ----------
    denoiser_ : estimator
        The trained copy of ``denoiser``, with its ``history_``.
    frame_shape_ : tuple of int
        Shape (H, W) of the frames in ``fit``, or (W,) of one-line frames.

    See Also
    --------
    BlindSpotDenoiser : Needs one exposure and no model of the noise.
    stemkit.metrics.split_scorer : Scores a denoiser by two exposures.

    Notes
    -----
    What the exposures share, such as a detector's fixed pattern, is learned like the specimen.
    The specimen must neither move nor be damaged between them: align them first (see
    :class:`stemkit.DriftDecayModel`), and crop to the field that both show.

    References
    ----------
    .. [1] Lehtinen et al., "Noise2Noise: learning image restoration without clean data", ICML 2018.

    Examples
    --------
    >>> from stemkit.datasets import make_nucleation
    >>> from stemkit.denoise import NetworkDenoiser, SplitPairs
    >>> from stemkit.noise import HRTEMNoise
    >>> clean = make_nucleation(4, shape=(32, 32), random_state=0).clean
    >>> first, second = (HRTEMNoise(random_state=i).fit_transform(clean) for i in (0, 1))
    >>> unet = NetworkDenoiser(
    ...     network_parameters={"n_channels": 4}, loss="l2", max_epochs=2, random_state=0
    ... )
    >>> SplitPairs(denoiser=unet).fit(first, second).transform(first).shape
    (4, 32, 32)

    From one exposure:

    >>> unet.set_params(steps_per_epoch=2)
    NetworkDenoiser(...)
    >>> SplitPairs(denoiser=unet, noise=HRTEMNoise()).fit(first).transform(first).shape
    (4, 32, 32)

    It is scored by the other exposure, too:

    >>> model = SplitPairs(denoiser=unet.set_params(steps_per_epoch=100)).fit(first, second)
    >>> model.score(first, second) < 0
    True
    """

    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        "denoiser": [None, HasMethods("fit", "transform", example="SCGNDenoiser(loss='l2')")],
        "noise": [None, HasMethods("unstabilize", example="HRTEMNoise()")],
        "fraction": [Interval(float, 0, 1, closed="neither")],
        "bad_pixels": BAD_PIXELS,
    }

    def __init__(
        self,
        *,
        denoiser: Any = None,
        noise: Any = None,
        fraction: float = 0.5,
        bad_pixels: BadPixels = "repair",
    ) -> None:
        self.denoiser = denoiser
        self.noise = noise
        self.fraction = fraction
        self.bad_pixels = bad_pixels

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Train on two exposures of each field, or on one of each and ``noise``.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames; a 2-D array is read as a stack of one-line frames.
        y : array-like of the shape of X, optional
            Another exposure of each field. Each is learned from the other. Without y the frames
            are split, in ``steps_per_epoch`` batches an epoch.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is invalid, or X or y is not a stack of finite numbers.
        """
        self._check_parameters()
        denoiser = NetworkDenoiser(loss="l2") if self.denoiser is None else clone(self.denoiser)
        # Blind-spot and classical denoisers don't use a second exposure.
        if not isinstance(denoiser, SupervisedDenoiser) or isinstance(denoiser, BlindSpotDenoiser):
            raise ValueError(
                f"denoiser must be one that learns from pairs, as NetworkDenoiser(loss='l2'); got "
                f"{denoiser!r}."
            )
        first, _ = check_stack(X, self, reset=True)
        if y is not None:
            second = check_target(y, first, bad_pixels=self.bad_pixels)
            with without_repair():
                denoiser.fit(np.concatenate([first, second]), np.concatenate([second, first]))
        elif self.noise is not None:
            denoiser.fit(_SplitStream(first, self.noise, self.fraction, denoiser))
        else:
            raise ValueError(
                "y is missing, and so is noise: pass another exposure of each field as y, or the "
                "camera's noise, as a calibrated HRTEMNoise(), as noise."
            )
        self.denoiser_ = denoiser
        return self

    def score(
        self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Score the result for one exposure by the other, as `split_scorer` does.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames.
        y : array-like of the shape of X, optional
            Another exposure of each field. Without it frames are split, which needs ``noise``.
        sample_weight : array-like of shape (n_frames,), optional
            Weight of each frame.

        Returns
        -------
        float
            Minus the mean square error to the other exposure, in the frames' unit squared.

        Raises
        ------
        ValueError
            If ``X`` or ``y`` is not a stack of finite numbers, or their shapes differ.
        """
        frames, _ = check_stack(X, self, reset=False)
        second = None if y is None else check_target(y, frames)
        scorer = SplitScorer(noise=self.noise if y is None else None, fraction=self.fraction)
        return scorer(self.denoiser_, frames, second, sample_weight=sample_weight)

    def _denoise(self, frames: Float32Array) -> Float32Array:
        with without_repair():
            return self.denoiser_.transform(frames)


class _SplitStream:
    """Stream of random crops of frames, split in two afresh for every batch."""

    def __init__(
        self, frames: Float32Array, noise: Any, fraction: float, denoiser: SupervisedDenoiser
    ) -> None:
        self.frames = frames
        self.noise = noise
        self.fraction = fraction
        self.denoiser = denoiser

    def make_batch(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        source = PairSource(
            self.frames,
            self.frames,
            batch_size=self.denoiser.batch_size,
            side=self.denoiser.tile_size,
            flip=self.denoiser.flip,
            degrade=None,
            device=torch.device("cpu"),
            random_state=int(generator.integers(2**31)),
        )
        noisy = source.batch(0)[0].numpy()
        first, second = split_exposure(
            noisy, self.noise, fraction=self.fraction, generator=generator
        )
        return torch.from_numpy(first), torch.from_numpy(second)
