"""The degradation network from weights, ours or the released ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

import pandas as pd
import torch
from sklearn.exceptions import NotFittedError
from torch import Tensor

from ..engine import load_weights, put_weights, read_checkpoint
from ..networks.degradation import DegradationNet
from ._decay_estimates import N_EVIDENCE

DEFAULT_WEIGHTS = "drift_decay"


def network_of(weights: Mapping[str, Tensor], origin: str) -> DegradationNet:
    """Make the network whose widths are those of the weights, and fill it."""
    names = [f"enc{level}.0.weight" for level in (1, 2, 3)]
    missing = [name for name in names if name not in weights]
    if missing:
        raise ValueError(
            f"{origin} does not hold weights of a degradation network: {missing[0]} is missing; "
            f"use a file of this network."
        )
    with torch.random.fork_rng():
        # A weight for each estimate, one for the own, and the own itself; the release has none.
        n_judged = len(weights.get("judge.8.bias", [None, None]))
        c1, c2, c3 = (len(weights[name]) for name in names)
        module = DegradationNet((c1, c2, c3), n_evidence=n_judged - 2)
    put_weights(module, weights, origin)
    return module.eval()


class NetworkMixin:
    """Where `DriftDecayModel` has its network from: a fit, a file, or what is shipped."""

    weights: str | os.PathLike[str] | None
    module_: DegradationNet
    units_: str
    history_: pd.DataFrame
    n_epochs_: int

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """Make a model of the weights that the paper's authors released.

        Parameters
        ----------
        path : path
            A ``.pth`` file in the released layout; nothing in it is executed.
        **parameters
            Parameters of the model.

        Returns
        -------
        DriftDecayModel
            Ready to predict. Its network takes frames scaled to 0..1.
        """
        model = cls(**parameters)
        weights = read_checkpoint(path)
        model.module_ = network_of(weights, str(path))
        model.units_ = "released"
        model.history_ = pd.DataFrame()
        model.n_epochs_ = 0
        return model

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    @staticmethod
    def _build_module(weights: Mapping[str, Tensor]) -> DegradationNet:
        return network_of(weights, "weights")

    def _check_fitted(self) -> None:
        if self.weights is None and not hasattr(self, "module_"):
            raise NotFittedError(
                "This DriftDecayModel has weights=None and is not fitted; call fit first, "
                'or use weights="default".'
            )

    def _starting_network(self, seed: int) -> DegradationNet:
        if self.weights is not None:
            name = DEFAULT_WEIGHTS if self.weights == "default" else self.weights
            return network_of(load_weights(name), str(name))
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(seed)
            return DegradationNet(n_evidence=N_EVIDENCE)

    def _network(self) -> tuple[DegradationNet, str]:
        """Return the network and its units, from the shipped weights where nothing was fitted."""
        if hasattr(self, "module_"):
            return self.module_, self.units_
        return self._starting_network(0), "local"
