"""A denoiser that is trained on noisy frames alone, to predict hidden pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from .._constraints import Constraints, Options, without
from .._random import RandomState, sample_generator
from .._validation import BadPixels, Float32Array
from ..engine import Source
from ..metrics import BlindSpotScorer
from ._loss import Loss, make_loss
from ._network import NetworkDenoiser

Structure = Literal["pixel", "row", "column"]

# One pixel of this many is hidden along an axis.
_PERIOD = 4
# Largest distance in px of the neighbour that replaces a hidden pixel.
_REACH = 2


class BlindSpotDenoiser(NetworkDenoiser):
    """Train any network to denoise on noisy frames alone.

    Some pixels of each frame are replaced by neighbours, and the network predicts their values.
    It can't predict the noise of a hidden pixel if noise is independent between pixels, so it
    learns the specimen [1]_.

    Parameters
    ----------
    network : {"unet", "sfin", "idf", "scgn", "pinned"} or callable, default="unet"
        The network, or a class or function that makes one, see :class:`NetworkDenoiser`.
    network_parameters : dict, optional
        Arguments that the network is made with, as ``{"n_channels": 16}``; its defaults otherwise.
        A grid search varies them as one parameter:
        ``{"network_parameters": [{"n_channels": 16}, {"n_channels": 32}]}``.
    structure : {"pixel", "row", "column"}, default="pixel"
        Which pixels are hidden: single ones; or whole rows or columns, if the pixels of one share
        noise [2]_: columns for the column noise of a camera, rows for the jitter, the gain or the
        afterglow of scanned lines. The network then predicts a line from other lines alone, and
        needs specimens that are wider than two px.
    loss : {"l1", "l2"} or callable, default="l2"
        With the mean square error the network predicts the mean of a pixel's possible values, with
        the absolute error the median, which is lower at low doses. A function gets the outputs and
        targets of the hidden pixels, see :class:`NetworkDenoiser`.
    max_epochs : int, default=100
        Passes over the training frames.
    steps_per_epoch : int, default=100
        Batches of an epoch if X is a stream; otherwise each frame occurs once in an epoch.
    batch_size : int, default=6
        Frames of a step. It is halved, with a warning, if a GPU has too little memory.
    tile_size : int, default=256
        Side in px of training squares and of tiles, see :class:`NetworkDenoiser`.
    lr : float, default=1e-3
        Highest learning rate, of a linear rise and half a cosine down.
    flip : bool, default=True
        Flip training frames vertically and horizontally at random.
    weights, checkpoint_dir, device, precision, random_state, verbose : optional
        See :class:`NetworkDenoiser`. Weights must belong to the network that is given.
    bad_pixels : {"repair"} or None, default="repair"
        Fill pixels that are NaN, masked, stuck or hit by X-rays, and bad rows and columns, from
        their neighbours, with a :class:`~stemkit.exceptions.BadPixelWarning`. With None, frames
        are used as they are, and NaN is an error.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network.
    network_, network_parameters_, history_, n_epochs_
        See :class:`NetworkDenoiser`.
    input_scaling_, target_scaling_, input_noise_
        See :class:`NetworkDenoiser`. The loss doesn't reach 0: it includes the noise's variance.

    See Also
    --------
    SplitPairs : Trains on two exposures, or on one that is split by a model of the noise.
    stemkit.metrics.blind_spot_scorer : Scores a denoiser without true frames.

    Notes
    -----
    Noise that neighbours share is learned like the specimen: with "pixel", column noise stays in
    the frames. One pixel in 16 is hidden, or one line in four, each replaced from within 2 px.

    The network is specific to its training frames: fit a new one for other specimens or doses.
    To train with a simulator of noise see :class:`NetworkDenoiser`.

    References
    ----------
    .. [1] Krull, Buchholz and Jug, "Noise2Void - learning denoising from single noisy images",
       CVPR 2019.
    .. [2] Broaddus, Krull, Weigert, Schmidt and Myers, "Removing structured noise with
       self-supervised blind-spot networks", ISBI 2020.

    Examples
    --------
    >>> from stemkit.datasets import make_nucleation
    >>> from stemkit.denoise import BlindSpotDenoiser
    >>> frames = make_nucleation(4, shape=(32, 32), random_state=0).noisy
    >>> model = BlindSpotDenoiser(
    ...     network_parameters={"n_channels": 4}, structure="column", max_epochs=2, random_state=0
    ... )
    >>> model.fit(frames).transform(frames).shape
    (4, 32, 32)

    Fine-tune on frames of another session, and save the weights:

    >>> from tempfile import TemporaryDirectory
    >>> other = make_nucleation(2, shape=(32, 32), random_state=1).noisy
    >>> model.partial_fit(other).score(other) < 0  # without true frames: minus an error
    True
    >>> with TemporaryDirectory() as folder:
    ...     model.save_weights(f"{folder}/mine.safetensors")
    ...     again = BlindSpotDenoiser(weights=f"{folder}/mine.safetensors")
    ...     bool((again.predict(other) == model.predict(other)).all())
    True
    """

    _learns_alone = True
    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        **without(NetworkDenoiser, "noise"),
        "structure": [Options(*get_args(Structure))],
    }

    def __init__(
        self,
        *,
        network: str | Callable[..., nn.Module] = "unet",
        network_parameters: Mapping[str, Any] | None = None,
        structure: Structure = "pixel",
        loss: Literal["l1", "l2"] | Loss = "l2",
        max_epochs: int = 100,
        steps_per_epoch: int = 100,
        batch_size: int = 6,
        tile_size: int = 256,
        lr: float = 1e-3,
        flip: bool = True,
        weights: str | os.PathLike[str] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
        bad_pixels: BadPixels = "repair",
    ) -> None:
        super().__init__(
            network=network,
            network_parameters=network_parameters,
            loss=loss,
            max_epochs=max_epochs,
            steps_per_epoch=steps_per_epoch,
            batch_size=batch_size,
            tile_size=tile_size,
            lr=lr,
            flip=flip,
            weights=weights,
            checkpoint_dir=checkpoint_dir,
            device=device,
            precision=precision,
            random_state=random_state,
            verbose=verbose,
            bad_pixels=bad_pixels,
        )
        self.structure = structure

    def fit(self, X: Any, y: object = None) -> Self:
        """Train on noisy frames.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W), or a stream
            Noisy frames; a 2-D array is read as a stack of one-line frames. Of the pairs of a
            stream only the noisy frames are used.
        y : object, optional
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is invalid, or X is not a stack of finite numbers.
        """
        return super().fit(X)

    def partial_fit(self, X: Any, y: object = None) -> Self:
        """Train for one more epoch from the present weights, to fine-tune on other frames.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W), or a stream
            As for :meth:`fit`.
        y : object, optional
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As for :meth:`fit`.
        """
        return super().partial_fit(X)

    def score(
        self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Compute the mean peak signal-to-noise ratio in dB, or without y the blind-spot score.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames.
        y : array-like of the shape of X, optional
            True frames, if they are known.
        sample_weight : array-like of shape (n_frames,), optional
            Weight of each frame.

        Returns
        -------
        float
            Greater is better. Without y it is the score of :class:`stemkit.metrics.BlindSpotScorer`
            for this ``structure``, on another scale.
        """
        if y is not None:
            return super().score(X, y, sample_weight)
        scorer = BlindSpotScorer(structure=self.structure)
        return scorer(self, X, sample_weight=sample_weight)

    def _check_target(self, y: ArrayLike | None, frames: Float32Array) -> Float32Array:
        return frames if y is None else super()._check_target(y, frames)

    def _source_maker(
        self, X: Any, y: ArrayLike | None, seed: int, *, reset: bool
    ) -> Callable[[int], Source]:
        make_source = super()._source_maker(X, None, seed, reset=reset)
        return lambda batch_size: _HidingSource(make_source(batch_size), self.structure, seed)

    def _criterion(self) -> Loss:
        loss = make_loss(self.loss)
        return lambda outputs, frames, hidden: loss(outputs[hidden], frames[hidden])


class _HidingSource:
    """Batches of another source: frames with replaced pixels, the frames, and the mask."""

    def __init__(self, source: Source, structure: Structure, random_state: int) -> None:
        self.source = source
        self.structure = structure
        self.random_state = random_state
        self.steps_per_epoch = source.steps_per_epoch

    def batch(self, step: int) -> tuple[Tensor, ...]:
        frames = self.source.batch(step)[0]
        rng = sample_generator(self.random_state, step, 2)
        filled, hidden = hide(frames, self.structure, rng)
        return filled, frames, hidden


def hide(
    frames: Tensor, structure: Structure, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Replace some pixels of frames (n, h, w) by neighbours, and return frames and mask.

    A neighbour has noise as strong as the pixel's. The network would recognise a smooth value, and
    would learn to denoise such pixels alone.
    """
    n, height, width = frames.shape
    # All pixels of a hidden row or column are replaced by those of one other.
    by_row, by_column = structure != "column", structure != "row"
    near = range(-_REACH, _REACH + 1)
    steps = np.array(
        [
            (down, right)
            for down in (near if by_row else (0,))
            for right in (near if by_column else (0,))
            if down % height or right % width
        ]
    )
    if not len(steps):
        raise ValueError(
            f"X has frames of {height} x {width} px (n_features={width}), in which a {structure} "
            f"has no neighbour to learn from; pass larger frames."
        )
    size = (n, height if by_row else 1, width if by_column else 1)
    down, right = np.moveaxis(steps[generator.integers(len(steps), size=size)], -1, 0)
    indices = (
        np.arange(n)[:, None, None],
        (np.arange(height)[:, None] + down) % height,
        (np.arange(width) + right) % width,
    )
    neighbours = frames[tuple(torch.from_numpy(index).to(frames.device) for index in indices)]
    rows = _one_in_four(n, height, generator) if by_row else np.ones((n, height), dtype=bool)
    columns = _one_in_four(n, width, generator) if by_column else np.ones((n, width), dtype=bool)
    hidden = torch.from_numpy(rows[:, :, None] & columns[:, None, :]).to(frames.device)
    return torch.where(hidden, neighbours, frames), hidden


def _one_in_four(n: int, length: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Choose every fourth index below `length`, from a random one on, n times."""
    period = min(_PERIOD, length)
    return (np.arange(length) - generator.integers(period, size=(n, 1))) % period == 0
