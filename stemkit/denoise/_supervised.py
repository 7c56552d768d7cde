"""The base of denoisers that learn from pairs: training, inference and weights."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._constraints import Constraints, HasMethods, Interval, Options
from .._frame_statistics import mean_noise_level
from .._random import RandomState, check_resumable, check_seed
from .._validation import BAD_PIXELS, BadPixels, Float32Array, check_stack
from ..engine import Source, fit_module, fit_parameters, pick_device, put_weights, save_weights
from ..engine._memory import halve_until_it_fits
from ..engine._randomness import all_gpus, own_randomness
from ._base import Denoiser, check_target
from ._domain import warn_of_scale
from ._inference import check_finite, denoise_tiled, side_multiple
from ._lattice_prior import warn_of_lattice_prior
from ._loss import LOSSES, Loss, make_loss
from ._pretrained import check_card, defaults_of, load_pretrained
from ._scaled import ScaledNetwork, apply_network
from ._sources import PairSource, ScaledSource, Scaling, simulator_of, source_of_stream, stream_of
from ._training_frames import CommonLevel, denoise_at, prepare

# Steps from checkpoint to checkpoint: on a CPU one step may take most of a minute.
_CHECKPOINT_EVERY = 50


class SupervisedDenoiser(Denoiser):
    """Base of denoisers whose network learns from pairs of frames.

    A subclass sets ``_network`` to a class of modules from (n, 1, H, W) to the same shape, and
    ``_network_takes`` to the names of its parameters that are passed to the network. It adds those
    to the parameters here, and their constraints to ``_parameter_constraints``. To use any network
    without a class of its own, see :class:`NetworkDenoiser`.

    Parameters
    ----------
    loss, max_epochs, steps_per_epoch, batch_size, tile_size, lr, flip : optional
        Training, see :class:`NetworkDenoiser`.
    noise, weights, checkpoint_dir, device, precision, random_state, verbose : optional
        See :class:`NetworkDenoiser`.
    bad_pixels : {"repair"} or None, default="repair"
        Fill pixels that are NaN, masked, stuck or hit by X-rays, and bad rows and columns, from
        their neighbours, with a :class:`~stemkit.exceptions.BadPixelWarning`. With None, frames
        are used as they are, and NaN is an error.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network.
    history_, n_epochs_, input_scaling_, target_scaling_, input_noise_
        See :class:`NetworkDenoiser`.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from stemkit.denoise import SupervisedDenoiser
    >>> class Line(nn.Conv2d):
    ...     def __init__(self):
    ...         super().__init__(1, 1, 5, padding=2)
    >>> class LinearDenoiser(SupervisedDenoiser):
    ...     _network = Line
    >>> X = np.random.default_rng(0).normal(size=(4, 32, 32))
    >>> LinearDenoiser(max_epochs=2, random_state=0).fit(X, 0 * X).transform(X).shape
    (4, 32, 32)

    Continue the training on other frames:

    >>> model = LinearDenoiser(max_epochs=2, random_state=0).fit(X, 0 * X)
    >>> model.partial_fit(X, 0 * X).n_epochs_
    3

    Score the result against the true frames, in dB:

    >>> bool(model.score(X, 0 * X + np.eye(32)) > 0)
    True
    """

    _network_takes: ClassVar[tuple[str, ...]] = ()
    _default_weights: ClassVar[str | None] = None
    """Name of the shipped weights that ``weights="default"`` stands for."""
    _at_once: ClassVar[int] = 1
    """Largest side of a frame that is denoised in one piece, in sides of a tile."""
    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        "loss": [Options(*LOSSES), callable],
        "max_epochs": [Interval(int, 1, None)],
        "steps_per_epoch": [Interval(int, 1, None)],
        "batch_size": [Interval(int, 1, None)],
        "tile_size": [Interval(int, 8, None, unit="px")],
        "lr": [Interval(float, 0, None, closed="neither")],
        "flip": ["boolean"],
        "noise": [None, HasMethods("degrade", example="HRTEMNoise()"), callable],
        "weights": [None, "path"],
        "checkpoint_dir": [None, "path"],
        "device": ["device"],
        "precision": [Options("auto", "32-true", "bf16-mixed")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "bad_pixels": BAD_PIXELS,
    }
    input_noise_: float | None
    _learns_alone: ClassVar[bool] = False
    """Whether targets are the noisy frames themselves."""
    _common: CommonLevel | None = None
    """Level and noise of the training frames; None after training on a stream or with `noise`."""
    domain_: Mapping[str, Any] = MappingProxyType({})
    """What the card of the weights tells of their training frames; nothing for a network's own."""

    @property
    @abstractmethod
    def _network(self) -> Callable[..., nn.Module]:
        """Class or function that makes the network."""

    def __init__(
        self,
        *,
        loss: Literal["l1", "l2"] | Loss = "l1",
        max_epochs: int = 100,
        steps_per_epoch: int = 100,
        batch_size: int = 6,
        tile_size: int = 256,
        lr: float = 2e-4,
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
        self.loss = loss
        self.max_epochs = max_epochs
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.tile_size = tile_size
        self.lr = lr
        self.flip = flip
        self.noise = noise
        self.weights = weights
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
        self.bad_pixels = bad_pixels

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Train on pairs, on clean frames with simulated noise, or on a stream.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W), or a stream
            Noisy frames, or clean ones if ``noise`` is given. A 2-D array is read as a stack of
            one-line frames. A stream has, or is, a function ``make_batch(generator)`` that returns
            a fresh batch (noisy, target), as :class:`stemkit.datasets.NucleationStream` has.
        y : array-like of the shape of X, optional
            Target frames. With ``noise`` they may be left out, and are then X. Labels of lines, as
            scikit-learn's checks pass them, are ignored, and lines are then their own targets.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is invalid, the frames are not finite, or their shapes differ.
        """
        return self._learn(X, y, self.max_epochs, self.checkpoint_dir, afresh=True)

    def partial_fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Train for one more epoch from the present weights, to fine-tune on other frames.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W), or a stream
            As for :meth:`fit`.
        y : array-like of the shape of X, optional
            As for :meth:`fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As for :meth:`fit`.
        """
        return self._learn(X, y, 1, None, afresh=not hasattr(self, "module_"))

    def score(
        self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Compute the mean peak signal-to-noise ratio in dB.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames, or clean ones if ``noise`` is given.
        y : array-like of the shape of X, optional
            Target frames, as for :meth:`fit`.
        sample_weight : array-like of shape (n_frames,), optional
            Weight of each frame.

        Returns
        -------
        float
            The peak is the range of the target, and values are not rounded;
            :func:`stemkit.metrics.psnr` computes the papers' number.

        Raises
        ------
        ValueError
            If ``X`` or ``y`` is not a stack of finite numbers, or their shapes differ.
        """
        check_is_fitted(self)
        frames, _ = check_stack(X, self, reset=False)
        target = self._check_target(y, frames)
        if self.noise is not None:
            frames = simulator_of(self.noise, frames, self.random_state).transform(frames)
        return self._score(frames, target, sample_weight)

    def save_weights(self, path: str | os.PathLike[str], **card: Any) -> None:
        """Write the network as safetensors with a card, for ``weights=path``.

        Parameters
        ----------
        path : path
            Ends in ".safetensors"; the card is written to the same name with ".json".
        **card
            Further entries of the card, as data, steps and scores.

        Raises
        ------
        ValueError
            If ``path`` ends otherwise, the card can't be written as JSON, or an entry that the
            network needs can't be used.
        """
        module = self._ready_network()
        known = {
            "network": type(module).__name__,
            "parameters": self.network_parameters_,
            "input_scaling": list(self.input_scaling_),
            "target_scaling": list(self.target_scaling_),
            "input_noise": self.input_noise_,
        }
        if self._common is not None:
            known["frame_level"] = list(self._common)
        check_card({**known, **card})
        save_weights(module, path, {**known, **card})

    def _learn(
        self,
        X: Any,
        y: ArrayLike | None,
        n_epochs: int,
        checkpoint_dir: str | os.PathLike[str] | None,
        *,
        afresh: bool,
    ) -> Self:
        self._check_parameters()
        check_resumable(checkpoint_dir, self.random_state)
        seed = check_seed(self.random_state)
        with _unchanged_by_errors(self):
            self._common = None if afresh else self._common
            make_source = self._source_maker(X, y, seed, reset=afresh)
            if afresh:
                self._start(seed, make_source(self.batch_size))
                self.history_ = pd.DataFrame()
        warn_of_lattice_prior(self)
        start = {key: value.clone() for key, value in self.module_.state_dict().items()}
        loss = self._criterion()

        def train(batch_size: int) -> pd.DataFrame:
            self.module_.load_state_dict(start)
            source = ScaledSource(
                make_source(batch_size),
                Scaling(*self.input_scaling_),
                Scaling(*self.target_scaling_),
                max_frames=batch_size,
            )
            return fit_module(
                self.module_,
                lambda module, batch: loss(apply_network(module, batch[0]), *batch[1:]),
                source,
                max_steps=n_epochs * source.steps_per_epoch,
                lr=self.lr,
                checkpoint_dir=checkpoint_dir,
                checkpoint_every=min(source.steps_per_epoch, _CHECKPOINT_EVERY),
                fingerprint=fit_parameters(self, batch_size=batch_size),
                device=self.device,
                precision=self.precision,
                random_state=seed,
                verbose=self.verbose,
            ).history

        history = halve_until_it_fits(train, self.batch_size)
        self.history_ = pd.concat([self.history_, history], ignore_index=True)
        self.n_epochs_ = len(self.history_)
        self.domain_ = {}  # that of the weights, which have changed
        return self

    def _source_maker(
        self, X: Any, y: ArrayLike | None, seed: int, *, reset: bool
    ) -> Callable[[int], Source]:
        make_batch = stream_of(X)
        if make_batch is not None:
            source = source_of_stream(make_batch, self.steps_per_epoch, seed)
            return lambda batch_size: source
        frames, _ = check_stack(X, self, reset=reset)
        target = self._check_target(y, frames)
        noise = None if self.noise is None else simulator_of(self.noise, frames, seed)
        if noise is None:
            frames, target = self._prepare(frames, target)

        def make_source(batch_size: int) -> Source:
            return PairSource(
                frames,
                target,
                batch_size=batch_size,
                side=self.tile_size,
                flip=self.flip,
                degrade=None if noise is None else noise.degrade,
                device=pick_device(self.device),
                random_state=seed,
            )

        return make_source

    def _prepare(
        self, frames: Float32Array, target: Float32Array
    ) -> tuple[Float32Array, Float32Array]:
        """Return training frames and targets at a common level, without blank ones."""
        name = type(self).__name__
        alone = self._learns_alone
        frames, target, self._common = prepare(
            frames, None if alone else target, self._common, name
        )
        return frames, target

    def _check_target(self, y: ArrayLike | None, frames: Float32Array) -> Float32Array:
        if y is None and self.noise is None:
            raise ValueError(
                "y is missing, and so is noise: pass the target frames as y, or clean frames as X "
                "and a simulator, as HRTEMNoise(), as noise."
            )
        return frames if y is None else check_target(y, frames)

    def _start(self, seed: int, source: Source) -> None:
        """Make the network and scale by a first batch, or load both from a file."""
        if self.weights is not None:
            with _unchanged_by_errors(self):
                of_these_frames = self._common
                load_pretrained(self, self.weights)
                self._common = of_these_frames
            first = source.batch(0)[0].cpu().numpy()
            warn_of_scale(self, first.reshape(-1, *first.shape[-2:]))
            return
        inputs, targets = source.batch(0)[:2]
        with _unchanged_by_errors(self):
            self._keep_network()
            self.network_parameters_ = self._own_network_parameters()
            self.module_ = self._make_module(seed, (1, 1, *inputs.shape[-2:]))
        self.input_scaling_ = tuple(Scaling.of(inputs))
        self.input_noise_ = mean_noise_level(inputs.cpu().numpy())
        self.target_scaling_ = tuple(self._scaling_of_targets(targets))

    def _keep_network(self) -> None:
        """Record what the network is made from, so that later parameters don't change it."""

    def _make_module(
        self, seed: int | None = None, shape: tuple[int, ...] | None = None
    ) -> nn.Module:
        """Make the network, from ``network_parameters_``, for inputs of a shape."""
        with own_randomness(*all_gpus(), seed=seed):
            return self._network(**self.network_parameters_)

    def _build_module(self, weights: Mapping[str, Tensor], origin: str = "weights") -> nn.Module:
        module = self._make_module()
        put_weights(module, weights, origin)
        return module.eval()

    def _criterion(self) -> Loss:
        """Return the loss of scaled outputs and targets (n, 1, h, w).

        Further tensors of a batch, as masks, are passed after the targets.
        """
        return make_loss(self.loss)

    def _scaling_of_targets(self, targets: Tensor) -> Scaling:
        return Scaling.of(targets)

    def _own_network_parameters(self) -> dict[str, Any]:
        """Return the parameters that a new network is made with."""
        return {name: getattr(self, name) for name in self._network_takes}

    def _requested_network_parameters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the network parameters that were set to something else, and all defaults."""
        defaults = defaults_of(type(self))
        own = self._own_network_parameters()
        return {k: v for k, v in own.items() if v != defaults.get(k)}, defaults

    def _ready_network(self) -> nn.Module:
        if not hasattr(self, "module_"):
            assert self.weights is not None  # otherwise check_is_fitted has failed
            load_pretrained(self, self.weights)
        return self.module_

    def _denoise(self, frames: Float32Array) -> Float32Array:
        self._ready_network()
        if self._common is None:
            return self._run(frames)
        return denoise_at(self._common, self._run, frames)

    def _run(self, frames: Float32Array) -> Float32Array:
        network = ScaledNetwork(
            self._ready_network(), Scaling(*self.input_scaling_), Scaling(*self.target_scaling_)
        )
        warn_of_lattice_prior(self)
        denoised = denoise_tiled(
            network,
            self._as_inputs(frames),
            self.tile_size,
            self.device,
            at_once=self._at_once,
            multiple=side_multiple(getattr(self, "network_", ""), self.tile_size),
            precision=self.precision,
            verbose=self.verbose,
        )[:, 0]
        check_finite(denoised)
        return denoised

    def _as_inputs(self, frames: Float32Array) -> Float32Array:
        """Return the inputs (n, channels, H, W) of the network for frames (n, H, W)."""
        return frames[:, np.newaxis]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_") or self.weights is not None


@contextmanager
def _unchanged_by_errors(model: SupervisedDenoiser) -> Iterator[None]:
    """Restore the attributes after an error, since the new ones don't belong to the old network."""
    before = model.__dict__.copy()
    try:
        yield
    except BaseException:
        model.__dict__.clear()
        model.__dict__.update(before)
        raise
