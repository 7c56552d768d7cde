"""The degradation network with its weights, and the motion that it estimates."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._motion import Motion
from .._validation import Float32Array
from ..engine import load_weights, put_weights
from ..engine._randomness import own_randomness
from ..engine.weights import check_shapes
from ..networks.degradation import T_MAX, DegradationNet
from ._decay_estimates import N_ESTIMATES
from ._normalization import Units, scale_pair

DEFAULT_WEIGHTS = "drift_decay"


@dataclass(frozen=True, eq=False)
class DamageNetwork:
    """A network and how to run it.

    Attributes
    ----------
    module : DegradationNet
        The network.
    units : {"local", "released"}, default="local"
        Scaling of its frames: by local contrast for our weights, to [0, 1] for the released ones.
    device : str, default="auto"
        Device that decay maps are computed on.
    precision : str, default="auto"
        Precision that they are computed in.
    """

    module: DegradationNet
    units: Units = "local"
    device: str = "auto"
    precision: str = "auto"

    def motion(self, first: Float32Array, second: Float32Array) -> Motion:
        """Return the rigid motion between two frames, as the network's motion head estimates it."""
        device = next(self.module.parameters()).device
        x0, xT = (
            torch.from_numpy(frame)[None, None].to(device)
            for frame in scale_pair(first, second, self.units)
        )
        self.module.eval()
        with torch.inference_mode():
            theta = self.module.motion(self.module.encode(x0, xT), T_MAX)[0].cpu().numpy()
        return theta_to_motion(theta, (first.shape[0], first.shape[1]))


def network_from_weights(weights: Mapping[str, Tensor], origin: str) -> DegradationNet:
    """Make the network that weights belong to, with these weights.

    Parameters
    ----------
    weights : mapping of str to Tensor
        The state of a network; its widths are read off the shapes.
    origin : str
        Where the weights are from, for error messages.

    Returns
    -------
    DegradationNet
        In evaluation mode.

    Raises
    ------
    ValueError
        If the weights are of another network.
    """
    names = [f"enc{level}.0.weight" for level in (1, 2, 3)]
    missing = [name for name in names if name not in weights]
    if missing:
        raise ValueError(
            f"{origin} does not hold weights of a degradation network: {missing[0]} is missing; "
            f"use a file of this network."
        )
    bias = "judge.8.bias"
    read = [*names, bias] if bias in weights else names
    lengths = {name: len(weights[name]) if weights[name].ndim else 0 for name in read}
    # The last layers, named "judge", return a weight for each direct estimate, a weight for the
    # network's own estimate, and that estimate. Released networks lack them.
    n_evidence = lengths[bias] - 2 if bias in lengths else 0
    c1, c2, c3 = (lengths[name] for name in names)
    if n_evidence < 0 or 0 in (c1, c2, c3):
        name = bias if n_evidence < 0 else names[(c1, c2, c3).index(0)]
        raise ValueError(
            f"{origin} does not hold weights of a degradation network: {name} has the shape "
            f"{tuple(weights[name].shape)}; use a file of this network."
        )
    with own_randomness():
        # Without memory, which a wrong width could exhaust.
        with torch.device("meta"):
            check_shapes(DegradationNet((c1, c2, c3), n_evidence=n_evidence), weights, origin)
        module = DegradationNet((c1, c2, c3), n_evidence=n_evidence)
    put_weights(module, weights, origin)
    return module.eval()


def initial_network(weights: str | os.PathLike[str] | None, seed: int) -> DegradationNet:
    """Load a network from "default" weights or a file, or initialise one from a seed."""
    if weights is not None:
        name = DEFAULT_WEIGHTS if weights == "default" else weights
        return network_from_weights(load_weights(name), str(name))
    with own_randomness(seed=seed):
        return DegradationNet(n_evidence=N_ESTIMATES)


def motion_to_theta(motion: Motion) -> Float32Array:
    """Return a rigid motion as the network's head gives it: angle, and (x, y) in half-widths."""
    back = motion.inverse()
    half = (np.maximum(np.array(motion.shape), 2) - 1) / 2
    return np.array(
        [motion.rotation, back.drift[1] / half[1], back.drift[0] / half[0]], dtype=np.float32
    )


def theta_to_motion(theta: NDArray, shape: tuple[int, int]) -> Motion:
    """Return the output of the network's head as a motion; inverts :func:`motion_to_theta`."""
    half = (np.maximum(np.array(shape), 2) - 1) / 2
    back = Motion.from_parameters(
        shape,
        drift=(float(theta[2]) * half[0], float(theta[1]) * half[1]),
        rotation=-float(theta[0]),
    )
    return back.inverse()
