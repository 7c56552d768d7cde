"""Values, functions and classes as a user writes them, and their description."""

from dataclasses import dataclass, field

import numpy as np
import torch

from stemkit.engine._fingerprint import describe

ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def of(value):
    return describe({"x": value})


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


# Functions and classes of a user.

GAIN = 2.0
TABLE = {"gain": [1.0, 2.0]}


def closure(factor):
    return lambda frames: frames * factor


def uses_global(frames):
    return frames * GAIN


def uses_global_in_inner_function(frames):
    return [(lambda: frame * GAIN)() for frame in frames]


def uses_table(frames):
    return frames * TABLE["gain"][0]


def calls_another(frames):
    return uses_global(frames)


class Plain:
    scale = 1.0

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def double(self, frames):
        return 2 * frames


class Slotted:
    __slots__ = ("__hidden", "value")

    def __init__(self, value, hidden=0):
        self.value = value
        self.__hidden = hidden


class OneSlot:
    __slots__ = "value"

    def __init__(self, value):
        self.value = value


class SlottedChild(Slotted):
    __slots__ = ("more",)

    def __init__(self, value, more):
        super().__init__(value)
        self.more = more


@dataclass
class Settings:
    values: list = field(default_factory=list)
    gain: float = 1.0


class Tensors(torch.nn.Module):
    def __init__(self, activation=torch.relu, settings=None, weight=1.0, dilation=1):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Conv2d(1, 1, 3, dilation=dilation)])
        self.layers.requires_grad_(False)
        for parameter in self.parameters():
            parameter.fill_(weight)
        self.activation = activation
        self.settings = settings

    def forward(self, x):
        return self.activation(self.layers[0](x))


class Powered:
    """A loss that a user defines. Its methods use a number and a function of this file."""

    def __call__(self, outputs, targets):
        return uses_global((outputs - targets) ** GAIN)
