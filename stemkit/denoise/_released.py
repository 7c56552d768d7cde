"""Denoisers whose networks the authors have released."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import pandas as pd
from torch import Tensor

from ..engine import read_checkpoint
from ..networks import rename_released
from ._supervised import SupervisedDenoiser


class ReleasedDenoiser(SupervisedDenoiser):
    """Base of denoisers that read the checkpoints of SFIN's and SCGN's authors."""

    _released_parameters: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """Make a denoiser of the weights that the paper's authors released.

        Parameters
        ----------
        path : path
            A ``.pth`` file in the released layout; nothing in it is executed.
        **parameters
            Parameters of the denoiser, but those that the file decides.

        Returns
        -------
        self
            Ready to transform frames as the authors have them, in 0..255; the network is
            ``module_``.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, holds more than weights, or those of another network.
        """
        weights = rename_released(read_checkpoint(path))
        model = cls(**_read_size(weights, str(path)), **cls._released_parameters, **parameters)
        model.network_parameters_ = model._own_network_parameters()
        model.module_ = model._build_module(weights, str(path))
        model.input_scaling_ = model.target_scaling_ = (0.0, 1.0)
        model.input_noise_ = None
        model.history_ = pd.DataFrame()
        model.n_epochs_ = 0
        return model


def _read_size(weights: Mapping[str, Tensor], origin: str) -> dict[str, Any]:
    """Count blocks and channels."""
    blocks = {m[1] for name in weights if (m := re.match(r"blocks\.(\d+)\.", name))}
    head = weights.get("head.weight")
    if not blocks or head is None or head.ndim != 4:
        raise ValueError(
            f"{origin} is of another network: it has no blocks between a head and a tail. "
            "Use a file of this denoiser's network."
        )
    return {"n_blocks": len(blocks), "n_channels": len(head)}
