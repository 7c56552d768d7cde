"""A network of standardised frames, applied to frames in their own units."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .._constraints import reason_of, shorten
from ._sources import Scaling


class ScaledNetwork(nn.Module):
    """A network of standardised frames, applied to frames in their own units.

    Tiles are scaled one by one, so that no scaled copy of the stack is needed.

    Parameters
    ----------
    network : nn.Module
    inputs, targets : Scaling
        Scalings that the network was trained with.
    """

    def __init__(self, network: nn.Module, inputs: Scaling, targets: Scaling) -> None:
        super().__init__()
        self.network = network
        self.inputs, self.targets = inputs, targets

    def forward(self, x: Tensor) -> Tensor:
        """Denoise (B, C, H, W)."""
        return self.unscaled(apply_network(self.network, self.scaled(x)))

    def scaled(self, x: Tensor) -> Tensor:
        """Standardise frames."""
        return (x - self.inputs.offset) / self.inputs.scale

    def unscaled(self, denoised: Tensor) -> Tensor:
        """Bring the network's output to the unit of the targets."""
        return denoised.float() * self.targets.scale + self.targets.offset


class NetworkError(ValueError):
    """A network does not take frames of this size, or does not keep their size."""


def apply_network(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the output (n, 1, h, w) of a network for inputs (n, channels, h, w).

    Raises
    ------
    ValueError
        If the network fails, or its output is not a real tensor of that shape.
    """
    shape = tuple(x.shape)
    try:
        output = network(x)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a network of the user's own may raise anything
        raise NetworkError(
            f"The network fails on frames of shape {shape}: {reason_of(error)}."
        ) from error
    expected = (shape[0], 1, *shape[2:])
    if not isinstance(output, Tensor):
        raise ValueError(
            f"The network must return one tensor of shape {expected} for frames of shape {shape}; "
            f"it returned {shorten(output)}."
        )
    if tuple(output.shape) != expected:
        raise NetworkError(
            f"The network must return shape {expected} for frames of shape {shape}, but returned "
            f"{tuple(output.shape)}: it needs one output channel, and padding that keeps the size."
        )
    if not output.is_floating_point():
        raise ValueError(f"The network must return real numbers; it returned {output.dtype}.")
    return output
