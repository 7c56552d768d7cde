from __future__ import annotations

import os
from typing import Any, Literal

from .._random import RandomState
from ..networks import SFIN
from ._released import ReleasedDenoiser


class SFINDenoiser(ReleasedDenoiser):
    """Denoise with the spatial-frequency interactive network.

    Parameters
    ----------
    n_blocks : int, default=8
        Blocks of the network.
    n_channels : int, default=64
        Channels of the network, even.
    loss, max_epochs, steps_per_epoch, batch_size, tile_size, lr, flip : optional
        How to train, see :class:`SCGNDenoiser`.
    noise, weights, checkpoint_dir, device, precision, random_state, verbose : optional
        See :class:`SCGNDenoiser`.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network, a :class:`stemkit.networks.SFIN`.
    history_, n_epochs_, input_scaling_, target_scaling_
        As of :class:`SCGNDenoiser`.

    Notes
    -----
    The network is that of the authors' code; training is ours: flips, and a rate that rises and
    falls.

    References
    ----------
    H. Li, Z. Wu, R. Shao, T. Zhang, Y. Fu, "Noise Calibration and Spatial-Frequency Interactive
    Network for STEM Image Enhancement", CVPR 2025.

    Examples
    --------
    >>> from stemkit.datasets import make_nucleation
    >>> from stemkit.denoise import SFINDenoiser
    >>> data = make_nucleation(4, shape=(32, 32), random_state=0)
    >>> model = SFINDenoiser(n_blocks=1, n_channels=4, max_epochs=2, random_state=0)
    >>> model.fit(data.noisy, data.target).transform(data.noisy).shape
    (4, 32, 32)
    """

    _network = SFIN
    _network_takes = ("n_blocks", "n_channels")

    def __init__(
        self,
        *,
        n_blocks: int = 8,
        n_channels: int = 64,
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
        self.n_blocks = n_blocks
        self.n_channels = n_channels
