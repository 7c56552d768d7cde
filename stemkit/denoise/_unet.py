from __future__ import annotations

import os
from typing import Any, Literal

from .._random import RandomState
from ..networks import UNet
from ._supervised import SupervisedDenoiser


class UNetDenoiser(SupervisedDenoiser):
    """Denoise with AtomSegNet's U-Net.

    Parameters
    ----------
    n_channels : int, default=64
        Channels at full resolution, even.
    loss, max_epochs, steps_per_epoch, batch_size, tile_size, lr, flip : optional
        How to train, see :class:`SCGNDenoiser`.
    noise, weights, checkpoint_dir, device, precision, random_state, verbose : optional
        See :class:`SCGNDenoiser`.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network, a :class:`stemkit.networks.UNet`.
    history_, n_epochs_, input_scaling_, target_scaling_
        As of :class:`SCGNDenoiser`.

    Notes
    -----
    The network ends without the sigmoid of the authors' code, and training is ours, with one frame
    in and one out.

    References
    ----------
    R. Lin, R. Zhang, C. Wang, X.-Q. Yang, H. L. Xin, "TEMImageNet training library and AtomSegNet
    deep-learning models for high-precision atom segmentation, localization, denoising, and
    deblurring of atomic-resolution images", Scientific Reports 11, 5386 (2021).

    Examples
    --------
    >>> from stemkit.datasets import make_nucleation
    >>> from stemkit.denoise import UNetDenoiser
    >>> data = make_nucleation(4, shape=(32, 32), random_state=0)
    >>> model = UNetDenoiser(n_channels=4, max_epochs=2, random_state=0)
    >>> model.fit(data.noisy, data.target).transform(data.noisy).shape
    (4, 32, 32)
    """

    _network = UNet
    _network_takes = ("n_channels",)

    def __init__(
        self,
        *,
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
        self.n_channels = n_channels
