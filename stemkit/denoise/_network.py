"""A denoiser with any network: one of ours by name, or what a class or function makes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from .._constraints import Constraints, Options, reason_of, shorten
from .._random import RandomState
from .._validation import BadPixels
from ..engine._randomness import all_gpus, own_randomness
from ..exceptions import InvalidParameterError
from ..networks import IDF, PINNED, SCGN, SFIN, UNet
from ._loss import Loss
from ._pretrained import CheckpointMixin, defaults_of, read_released
from ._scaled import apply_network
from ._supervised import SupervisedDenoiser

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "idf": IDF,
    "pinned": PINNED,
    "scgn": SCGN,
    "sfin": SFIN,
    "unet": UNet,
}
# Parameters of networks in the layout that their authors released.
_RELEASED: dict[str, dict[str, Any]] = {"scgn": {"layout": "released"}, "sfin": {}}


class NetworkDenoiser(CheckpointMixin, SupervisedDenoiser):
    """Denoise with any network: one of ours by name, or your own.

    Parameters
    ----------
    network : {"unet", "sfin", "idf", "scgn", "pinned"} or callable, default="unet"
        The network, see the notes; or a class or function that makes one: a
        ``torch.nn.Module`` from (n, 1, H, W) to the same shape, for any H and W. An instance is
        an error, since every fit starts from fresh weights.
    network_parameters : dict, optional
        Arguments that the network is made with, as ``{"n_channels": 16}``; its defaults otherwise.
        A grid search varies them as one parameter:
        ``{"network_parameters": [{"n_channels": 16}, {"n_channels": 32}]}``.
    loss : {"l1", "l2"} or callable, default="l1"
        Mean absolute or mean square error; or a function of outputs and targets, standardised
        tensors (n, 1, h, w), that returns a tensor of one number, or a dict of them of which
        "loss" is minimised and all are recorded in ``history_``.
    max_epochs : int, default=100
        Passes over the training frames.
    steps_per_epoch : int, default=100
        Batches of an epoch if X is a stream; otherwise each frame occurs once in an epoch.
    batch_size : int, default=6
        Frames of a step. It is halved, with a warning, if a GPU has too little memory.
    tile_size : int, default=256
        Side in px of the squares that the network is trained on, and of the overlapping tiles into
        which larger frames are cut to be denoised.
    lr : float, default=2e-4
        Highest learning rate, of a linear rise and half a cosine down.
    flip : bool, default=True
        Flip training frames vertically and horizontally at random.
    noise : simulator of stemkit.noise or callable, optional
        Makes noisy frames from clean ones, afresh for every batch. A fitted simulator is used as
        it is; to keep its calibration through `clone` and grid searches wrap it in
        `sklearn.frozen.FrozenEstimator`. A function is called as
        ``noise(frames, generator=generator)`` with a tensor (n, h, w) and a ``torch.Generator``,
        as ``functools.partial(stemkit.noise.functional.gaussian_noise, sigma=5.0)`` can be.
    weights : path or None, default=None
        Weights that `save_weights` wrote, for transform without fit, and for fit to start from.
        They must belong to the network that is given.
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
        The network.
    network_ : str or callable
        The ``network`` that was used.
    network_parameters_ : dict
        Arguments that it was made with.
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
    SCGNDenoiser : The network "scgn" with each of its parts as a parameter, and shipped weights.
    PINNEDDenoiser : The network "pinned" with its loss, and shipped weights.
    BlindSpotDenoiser : Trains the same networks on noisy frames alone.

    Notes
    -----
    "unet" is :class:`stemkit.networks.UNet`, AtomSegNet's [1]_; "sfin" the spatial-frequency
    interactive network [2]_; "idf" iterative dynamic filtering [3]_, which the comparison in SCGN's
    paper calls HINT. IDF returns a weighted mean of its input, so it can't draw dots in frames in
    which no pixel is as bright. "scgn" and "pinned" are the networks of :class:`SCGNDenoiser` and
    :class:`PINNEDDenoiser`. The networks are the authors'; the training is ours: flips, and a
    learning rate that rises and falls.

    A network of your own is converted to float32. It is run once on random frames before it is
    trained, which also initialises lazy layers. Its class or function must be importable where the
    denoiser is unpickled.

    References
    ----------
    .. [1] R. Lin, R. Zhang, C. Wang, X.-Q. Yang, H. L. Xin, "TEMImageNet training library and
       AtomSegNet deep-learning models for high-precision atom segmentation, localization,
       denoising, and deblurring of atomic-resolution images", Scientific Reports 11, 5386 (2021).
    .. [2] H. Li, Z. Wu, R. Shao, T. Zhang, Y. Fu, "Noise Calibration and Spatial-Frequency
       Interactive Network for STEM Image Enhancement", CVPR 2025.
    .. [3] D. Kim, J. Ko, M. K. Ali, T. H. Kim, "IDF: Iterative Dynamic Filtering Networks for
       Generalizable Image Denoising", ICCV 2025, https://arxiv.org/abs/2508.19649.

    Examples
    --------
    >>> from stemkit.datasets import make_nucleation
    >>> from stemkit.denoise import NetworkDenoiser
    >>> data = make_nucleation(4, shape=(32, 32), random_state=0)
    >>> model = NetworkDenoiser(network_parameters={"n_channels": 4}, max_epochs=2, random_state=0)
    >>> model.fit(data.noisy, data.target).transform(data.noisy).shape
    (4, 32, 32)

    A network of your own, with a loss of your own:

    >>> from torch import nn
    >>> class TwoLayers(nn.Sequential):
    ...     def __init__(self, width=8):
    ...         first, second = nn.Conv2d(1, width, 5, padding=2), nn.Conv2d(width, 1, 5, padding=2)
    ...         super().__init__(first, nn.ReLU(), second)
    >>> model = NetworkDenoiser(
    ...     network=TwoLayers, network_parameters={"width": 4}, loss=nn.HuberLoss(), max_epochs=2
    ... )
    >>> model.fit(data.noisy, data.target).module_
    TwoLayers(...)
    """

    network_: str | Callable[..., nn.Module]
    _tile_of_network: int
    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        **SupervisedDenoiser._parameter_constraints,
        "network": [Options(*NETWORKS), callable],
        "network_parameters": [None, dict],
    }

    def __init__(
        self,
        *,
        network: str | Callable[..., nn.Module] = "unet",
        network_parameters: Mapping[str, Any] | None = None,
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
        self.network = network
        self.network_parameters = network_parameters

    @property
    def _network(self) -> Callable[..., nn.Module]:
        used = getattr(self, "network_", self.network)
        return NETWORKS[used] if isinstance(used, str) else used

    def _keep_network(self) -> None:
        self.network_ = self.network
        self._tile_of_network = self.tile_size

    def _own_network_parameters(self) -> dict[str, Any]:
        own = dict(self.network_parameters or {})
        # Ours are recorded in full: their defaults may change from version to version.
        return {**defaults_of(self._network), **own} if isinstance(self.network, str) else own

    def _requested_network_parameters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return dict(self.network_parameters or {}), defaults_of(self._network)

    def _make_module(
        self, seed: int | None = None, shape: tuple[int, ...] | None = None
    ) -> nn.Module:
        with own_randomness(*all_gpus(), seed=seed):
            module = make_network(self._network, self.network_parameters_)
            is_named = isinstance(getattr(self, "network_", self.network), str)
            if not is_named and (shape is not None or _is_lazy(module)):
                side = getattr(self, "_tile_of_network", self.tile_size)
                check_network(module, shape or (1, 1, side, side))
            return module

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if isinstance(self.network, nn.Module):
            raise InvalidParameterError(
                f"network is an instance of {type(self.network).__name__}, but every fit starts "
                "from fresh weights: pass its class, or a function that makes it."
            )

    @classmethod
    def _for_checkpoint(
        cls, weights: Mapping[str, Tensor], origin: str, parameters: Mapping[str, Any]
    ) -> tuple[Self, Mapping[str, Tensor]]:
        model = cls(**parameters)
        model._check_parameters()
        if model.network in _RELEASED:
            size, weights = read_released(weights, origin)
            given = model.network_parameters or {}
            model.network_parameters = {**size, **_RELEASED[model.network], **given}
        return model, weights


def make_network(network: Callable[..., nn.Module], parameters: Mapping[str, Any]) -> nn.Module:
    """Call a class or function that makes a network, and check that it can be trained.

    Raises
    ------
    InvalidParameterError
        If it fails, or does not make a new module with weights to train.
    """
    try:
        module = network(**parameters)
        is_new = isinstance(network, type) or network(**parameters) is not module
        if isinstance(module, nn.Module):
            module = module.float().cpu()
    except Exception as error:  # a function of the user's may raise anything
        raise InvalidParameterError(
            f"network could not be made with network_parameters={dict(parameters)!r}: "
            f"{reason_of(error)}."
        ) from error
    if not isinstance(module, nn.Module):
        raise InvalidParameterError(
            f"network must make a torch.nn.Module; it made {shorten(module)}."
        )
    if not is_new:
        raise InvalidParameterError(
            "network must make a new module at every call, or fits would share their weights; it "
            "returned the same one twice."
        )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise InvalidParameterError(
            "network must have weights to train; all of its weights are fixed."
        )
    return module


def check_network(module: nn.Module, shape: tuple[int, ...]) -> None:
    """Run a network once on random frames, which also initialises its lazy layers.

    Raises
    ------
    ValueError
        If the network fails, or returns another shape, or NaN or inf.
    """
    frames = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    module.eval()
    with torch.no_grad():
        output = apply_network(module, frames)
    module.train()
    if not output.isfinite().all():
        raise ValueError("The network returns NaN or inf for standardised frames.")


def _is_lazy(module: nn.Module) -> bool:
    tensors: Iterator[Tensor] = iter((*module.parameters(), *module.buffers()))
    return any(isinstance(t, UninitializedParameter | UninitializedBuffer) for t in tensors)
