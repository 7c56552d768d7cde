"""A small network, defined as a user would define one."""

from torch import nn


class SmallNet(nn.Sequential):
    def __init__(self, n_channels=8):
        super().__init__(
            nn.Conv2d(1, n_channels, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(n_channels, n_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(n_channels, 1, 3, padding=1),
        )
