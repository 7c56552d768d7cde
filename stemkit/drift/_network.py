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
        # A weight for each estimate, one for the own, and the own itself; the release has none.
        n_judged = len(weights.get("judge.8.bias", [None, None]))
        c1, c2, c3 = (len(weights[name]) for name in names)
        module = DegradationNet((c1, c2, c3), n_evidence=n_judged - 2)
    put_weights(module, weights, origin)
    return module.eval()
