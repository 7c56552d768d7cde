"""A denoiser that learns a series of frames from itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from .._constraints import Constraints, Interval, without
from .._random import RandomState
from .._validation import BadPixels, Float32Array, check_stack
from ..engine import Source, pick_device
from ..networks.udvd import N_FRAMES, UDVD
from ._base import Denoiser
from ._loss import Loss
from ._sources import PairSource
from ._supervised import SupervisedDenoiser


class UDVDDenoiser(SupervisedDenoiser):
    """Denoise a series by unsupervised deep video denoising, without true frames.

    **The order of frames matters**: pass them in the order in which they were taken, since each is
    denoised together with the two before and the two after it.

    Parameters
    ----------
    n_channels : int, default=48
        Channels of the network.
    loss : {"l1", "l2"} or callable, default="l2"
        With "l2" the network predicts the mean of a pixel's possible values, with "l1" the median,
        which is lower at low doses.
    max_epochs, batch_size, tile_size, lr, flip : optional
        Training, see :class:`NetworkDenoiser`.
    weights, checkpoint_dir, device, precision, random_state, verbose : optional
        See :class:`NetworkDenoiser`.
    bad_pixels : {"repair"} or None, default="repair"
        Fill pixels that are NaN, masked, stuck or hit by X-rays, and bad rows and columns, from
        their neighbours, with a :class:`~stemkit.exceptions.BadPixelWarning`. With None, frames
        are used as they are, and NaN is an error.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network, a :class:`stemkit.networks.UDVD`; its notes list the differences from the
        authors'.
    history_, n_epochs_, input_scaling_, target_scaling_
        See :class:`NetworkDenoiser`. The loss is the distance to noisy frames, so that of a
        perfect denoiser is the noise.

    Notes
    -----
    Each pixel is predicted from the pixels around it, so noise that is independent between pixels
    can't be learned. Noise that neighbouring pixels share is learned: a row's jitter, a column's
    gain, a scintillator's blur. Frames must be similar; atoms that jump between frames are blurred.

    The first and the last frame are repeated at the ends. The training is ours: flips, and a
    learning rate that rises and falls; batches, crops and rate are the authors' for electron
    microscopy.

    References
    ----------
    D. Y. Sheth et al., "Unsupervised Deep Video Denoising", ICCV 2021,
    https://arxiv.org/abs/2011.15045.

    Examples
    --------
    >>> from stemkit.datasets import make_nucleation_sequence
    >>> from stemkit.denoise import UDVDDenoiser
    >>> series = make_nucleation_sequence(6, shape=(32, 32), random_state=0)
    >>> model = UDVDDenoiser(n_channels=4, max_epochs=2, random_state=0)
    >>> model.fit(series.noisy).transform(series.noisy).shape
    (6, 32, 32)
    """

    _network = UDVD
    _network_takes = ("n_channels",)
    _learns_alone = True
    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        **without(SupervisedDenoiser, "noise", "steps_per_epoch"),
        "n_channels": [Interval(int, 3, None)],
    }

    def __init__(
        self,
        *,
        n_channels: int = 48,
        loss: Literal["l1", "l2"] | Loss = "l2",
        max_epochs: int = 100,
        batch_size: int = 8,
        tile_size: int = 128,
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
            loss=loss,
            max_epochs=max_epochs,
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
        self.n_channels = n_channels

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Train on a series, without targets.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames in the order in which they were taken; a 2-D array is a stack of lines.
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

    def partial_fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Train for one more epoch from the present weights, to fine-tune on another series.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
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

        Examples
        --------
        >>> from stemkit.datasets import make_nucleation
        >>> from stemkit.denoise import UDVDDenoiser
        >>> series = make_nucleation(6, shape=(16, 16), random_state=0).noisy
        >>> model = UDVDDenoiser(n_channels=4, max_epochs=1, random_state=0).fit(series)
        >>> model.partial_fit(series).n_epochs_
        2
        """
        return super().partial_fit(X)

    score = Denoiser.score

    def _source_maker(
        self, X: Any, y: ArrayLike | None, seed: int, *, reset: bool
    ) -> Callable[[int], Source]:
        frames, _ = check_stack(X, self, reset=reset)
        frames, _ = self._prepare(frames, frames)

        def make_source(batch_size: int) -> Source:
            return PairSource(
                self._as_inputs(frames),
                frames,
                batch_size=batch_size,
                side=self.tile_size,
                flip=self.flip,
                degrade=None,
                device=pick_device(self.device),
                random_state=seed,
            )

        return make_source

    def _as_inputs(self, frames: Float32Array) -> Float32Array:
        """Return each frame with its two neighbours on either side, (n, 5, H, W)."""
        reach = N_FRAMES // 2
        longer = np.pad(frames, ((reach, reach), (0, 0), (0, 0)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(longer, N_FRAMES, axis=0)
        return np.moveaxis(windows, -1, 1)
