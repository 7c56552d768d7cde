from __future__ import annotations

import os
from typing import Any, Literal

from .._random import RandomState
from ..networks import IDF
from ._supervised import SupervisedDenoiser


class IDFDenoiser(SupervisedDenoiser):
    """Denoise by iterative dynamic filtering.

    A small network says for each pixel how much of its neighbours to take, ten times over.

    Parameters
    ----------
    n_channels : int, default=64
        Channels of the network.
    n_iterations : int, default=10
        How often it filters.
    loss, max_epochs, steps_per_epoch, batch_size, tile_size, lr, flip : optional
        How to train, see :class:`SCGNDenoiser`.
    noise, weights, checkpoint_dir, device, precision, random_state, verbose : optional
        See :class:`SCGNDenoiser`.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network, a :class:`stemkit.networks.IDF`, whose notes say how it differs from the
        authors'.
    history_, n_epochs_, input_scaling_, target_scaling_
        As of :class:`SCGNDenoiser`.

    Notes
    -----
    The comparison in the paper of :class:`SCGNDenoiser` has a row that its table calls HINT; the
    reference that it gives is this network. What goes out is a mean of what came in, so that dots
    where atoms are do not come out of frames in which no pixel is as bright. Training is ours:
    flips, and a rate that rises and falls; the authors train on crops of 128 px with a rate of
    1e-4.

    References
    ----------
    D. Kim, J. Ko, M. K. Ali, T. H. Kim, "IDF: Iterative Dynamic Filtering Networks for
    Generalizable Image Denoising", ICCV 2025, https://arxiv.org/abs/2508.19649.

    Examples
    --------
    >>> from stemkit.datasets import make_nucleation
    >>> from stemkit.denoise import IDFDenoiser
    >>> data = make_nucleation(4, shape=(32, 32), random_state=0)
    >>> model = IDFDenoiser(n_channels=4, n_iterations=2, max_epochs=2, random_state=0)
    >>> model.fit(data.noisy, data.target).transform(data.noisy).shape
    (4, 32, 32)
    """

    _network = IDF
    _network_takes = ("n_channels", "n_iterations")

    def __init__(
        self,
        *,
        n_channels: int = 64,
        n_iterations: int = 10,
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
        self.n_channels = n_channels
        self.n_iterations = n_iterations
