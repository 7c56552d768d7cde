"""The degradation network from weights, ours or the released ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..engine import put_weights
from ..networks.degradation import DegradationNet


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
        # One weight for each estimate and one for the network's own; the release has none.
        n_weights = len(weights.get("out_weights.2.bias", [None]))
        c1, c2, c3 = (len(weights[name]) for name in names)
        module = DegradationNet((c1, c2, c3), n_evidence=n_weights - 1)
    put_weights(module, weights, origin)
    return module.eval()
