from __future__ import annotations

from torch import Tensor, nn

from ._sources import Scaling


class ScaledNetwork(nn.Module):
    """A network of standardised frames as one of frames as they are.

    Scaled tile by tile, a stack need not be copied first.

    Parameters
    ----------
    network : nn.Module
    inputs, targets : Scaling
        What the network was trained with.
    """

    def __init__(self, network: nn.Module, inputs: Scaling, targets: Scaling) -> None:
        super().__init__()
        self.network = network
        self.inputs, self.targets = inputs, targets

    def forward(self, x: Tensor) -> Tensor:
        """Denoise (B, C, H, W)."""
        denoised = self.network((x - self.inputs.offset) / self.inputs.scale)
        return denoised.float() * self.targets.scale + self.targets.offset
