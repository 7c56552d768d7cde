"""What denoisers that learn from pairs share: everything but their network."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from .._random import RandomState, check_resumable, check_seed
from .._validation import Float32Array, check_stack
from ..engine import (
    Source,
    fit_module,
    fit_parameters,
    load_weights,
    pick_device,
    put_weights,
    save_weights,
)
from ..engine._memory import halve_until_it_fits
from ._base import Denoiser, check_target
from ._noise_level import mean_noise_level
from ._scaled import ScaledNetwork
from ._sources import (
    PairSource,
    ScaledSource,
    Scaling,
    fitted_noise,
    source_of_stream,
    stream_of,
)
from ._tiled import denoise_tiled
from ._weights import find_weights, refuse_another_network

_LOSSES = {"l1": F.l1_loss, "l2": F.mse_loss}
# Steps that a fit may lose when it is stopped: on a CPU one of them may take most of a minute.
_KEPT_AFTER = 50


class SupervisedDenoiser(Denoiser):
    """Base of denoisers whose network learns from pairs of frames.

    A subclass names its network as ``_network``, a class of modules from (n, 1, H, W) to the same
    shape, and in ``_network_takes`` which of its own parameters the network takes. It adds those to
    the parameters here. Where stemkit ships weights for it, it names them too.

    Parameters
    ----------
    loss, max_epochs, steps_per_epoch, batch_size, tile_size, lr, flip : optional
        How to train, see :class:`SCGNDenoiser`.
    noise, weights, checkpoint_dir, device, precision, random_state, verbose : optional
        See :class:`SCGNDenoiser`.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network.
    history_, n_epochs_, input_scaling_, target_scaling_, input_noise_
        As of :class:`SCGNDenoiser`.

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

    A trained one learns on from other frames:

    >>> model = LinearDenoiser(max_epochs=2, random_state=0).fit(X, 0 * X)
    >>> model.partial_fit(X, 0 * X).n_epochs_
    3

    and is scored by the truth, in dB:

    >>> bool(model.score(X, 0 * X + np.eye(32)) > 0)
    True
    """

    _network_takes: ClassVar[tuple[str, ...]] = ()
    _default_weights: ClassVar[str | None] = None
    _at_once: ClassVar[int] = 1
    """Times a tile's side, up to which frames are denoised without being cut."""
    input_noise_: float | None

    @property
    @abstractmethod
    def _network(self) -> Callable[..., nn.Module]:
        """What makes the network."""

    def __init__(
        self,
        *,
        loss: Literal["l1", "l2"] = "l1",
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

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Learn from pairs, from clean frames and a simulator of noise, or from a stream.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W), or a stream
            Noisy frames; clean ones where ``noise`` is given. 2-D is a stack of one-line frames.
            A stream has, or is, a function ``make_batch(generator)`` that gives a fresh batch
            (noisy, target), as :class:`stemkit.datasets.NucleationStream` has.
        y : array-like of the shape of X, optional
            What should become of the frames. With ``noise`` it may be left out: then it is X.
            Lines may come with one label each, as scikit-learn's checks give them; these are
            ignored, and lines are then their own targets.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where X, y or a parameter is not what it should be.
        """
        return self._learn(X, y, self.max_epochs, self.checkpoint_dir, afresh=True)

    def partial_fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Learn for one epoch more, from where the network is: to fine-tune on other frames.

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
        """Mean peak signal-to-noise ratio in dB.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames; clean ones where ``noise`` is given.
        y : array-like of the shape of X, optional
            What should become of them; as for :meth:`fit`.
        sample_weight : array-like of shape (n_frames,), optional
            How much each frame counts.

        Returns
        -------
        float
            The peak is the range of the target, and nothing is cut to whole numbers;
            :func:`stemkit.metrics.psnr` gives the papers' number.

        Raises
        ------
        ValueError
            Where ``X`` or ``y`` is not a stack of finite numbers, or their shapes differ.
        """
        check_is_fitted(self)
        frames, _ = check_stack(X, self, reset=False)
        target = self._check_target(y, frames)
        if self.noise is not None:
            frames = fitted_noise(self.noise, frames).transform(frames)
        return self._score(frames, target, sample_weight)

    def save_weights(self, path: str | os.PathLike[str], **card: Any) -> None:
        """Write the network as safetensors, and a card beside it, for ``weights=path``.

        Parameters
        ----------
        path : path
            Ends in ".safetensors"; the card goes to the same name with ".json".
        **card
            What is to be known of the weights: data, steps, scores.
        """
        module = self._ready_network()
        known = {
            "network": type(module).__name__,
            "parameters": self.network_parameters_,
            "input_scaling": list(self.input_scaling_),
            "target_scaling": list(self.target_scaling_),
            "input_noise": self.input_noise_,
        }
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
        make_source = self._source_maker(X, y, seed, reset=afresh)
        if afresh:
            self._start(seed, make_source(self.batch_size))
            self.history_ = pd.DataFrame()
        start = {key: value.clone() for key, value in self.module_.state_dict().items()}
        loss = self._criterion()

        def train(batch_size: int) -> pd.DataFrame:
            self.module_.load_state_dict(start)
            source = ScaledSource(
                make_source(batch_size),
                Scaling(*self.input_scaling_),
                Scaling(*self.target_scaling_),
                most=batch_size,
            )
            return fit_module(
                self.module_,
                lambda module, batch: loss(module(batch[0]), *batch[1:]),
                source,
                max_steps=n_epochs * source.steps_per_epoch,
                lr=self.lr,
                checkpoint_dir=checkpoint_dir,
                checkpoint_every=min(source.steps_per_epoch, _KEPT_AFTER),
                fingerprint=fit_parameters(self, batch_size=batch_size),
                device=self.device,
                precision=self.precision,
                random_state=seed,
                verbose=self.verbose,
            ).history

        history = halve_until_it_fits(train, self.batch_size)
        self.history_ = pd.concat([self.history_, history], ignore_index=True)
        self.n_epochs_ = len(self.history_)
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
        noise = None if self.noise is None else fitted_noise(self.noise, frames)

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

    def _check_target(self, y: ArrayLike | None, frames: Float32Array) -> Float32Array:
        if y is None and self.noise is None:
            raise ValueError(
                "y is missing, and so is noise: pass the frames that should come out as y, or "
                "clean frames as X and a simulator, as HRTEMNoise(), as noise."
            )
        return frames if y is None else check_target(y, frames)

    def _start(self, seed: int, source: Source) -> None:
        """Make the network, and the scaling from a first batch, or take both from a file."""
        if self.weights is not None:
            self._load()
            return
        self.network_parameters_ = self._own_network_parameters()
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(seed)
            self.module_ = self._network(**self.network_parameters_)
        inputs, targets = source.batch(0)[:2]
        self.input_scaling_ = tuple(Scaling.of(inputs))
        self.input_noise_ = mean_noise_level(inputs.cpu().numpy())
        self.target_scaling_ = tuple(self._scaling_of_targets(targets))

    def _load(self) -> None:
        """Take network and scaling from the weights that are asked for."""
        assert self.weights is not None  # or nobody would ask
        own = self._network
        name, card = find_weights(
            self.weights,
            shipped=self._default_weights,
            denoiser=type(self).__name__,
            network=own.__name__ if isinstance(own, type) else None,
        )
        refuse_another_network(self, self._own_network_parameters(), card["parameters"], name)
        self.network_parameters_ = card["parameters"]
        self.input_scaling_ = tuple(card["input_scaling"])
        self.target_scaling_ = tuple(card["target_scaling"])
        self.input_noise_ = card.get("input_noise")
        self.module_ = self._build_module(load_weights(name), str(name))

    def _build_module(self, weights: Mapping[str, Tensor], origin: str = "weights") -> nn.Module:
        with torch.random.fork_rng():
            module = self._network(**self.network_parameters_)
        put_weights(module, weights, origin)
        return module.eval()

    def _criterion(self) -> Callable[..., Tensor | Mapping[str, Tensor]]:
        """Return what is to be made small, of scaled outputs and targets (n, 1, h, w).

        What a source gives beside inputs and targets comes after them.
        """
        return _LOSSES[self.loss]

    def _scaling_of_targets(self, targets: Tensor) -> Scaling:
        return Scaling.of(targets)

    def _own_network_parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._network_takes}

    def _ready_network(self) -> nn.Module:
        if not hasattr(self, "module_"):
            self._load()
        return self.module_

    def _denoise(self, frames: Float32Array) -> Float32Array:
        network = ScaledNetwork(
            self._ready_network(), Scaling(*self.input_scaling_), Scaling(*self.target_scaling_)
        )
        return denoise_tiled(
            network,
            self._as_inputs(frames),
            self.tile_size,
            self.device,
            at_once=self._at_once,
            precision=self.precision,
            verbose=self.verbose,
        )[:, 0]

    def _as_inputs(self, frames: Float32Array) -> Float32Array:
        """Give what the network sees of frames (n, H, W): (n, channels, H, W)."""
        return frames[:, np.newaxis]

    def _check_parameters(self) -> None:
        if self.loss not in _LOSSES:
            raise ValueError(f"loss must be one of {sorted(_LOSSES)}; got {self.loss!r}.")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{name} must be an int of at least {least}; got {value!r}.")
        if not self.lr > 0:
            raise ValueError(f"lr must be above 0; got {self.lr!r}.")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_") or self.weights is not None


_LEAST = {"max_epochs": 1, "steps_per_epoch": 1, "batch_size": 1, "tile_size": 8}
