"""Making, drawing and scattering whole numbers, which NumPy and torch name differently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stemkit._arrays import Frames, Generator, is_tensor, namespace


class DeviceArrays:
    """NumPy's half; the arrays that it makes are float32, int64 or bool."""

    def full(self, size: int, value: float | int) -> Frames:
        """Make a vector of one value, int64 where that is an int."""
        return np.full(size, value, dtype=np.int64 if isinstance(value, int) else np.float32)

    def arange(self, stop: int) -> Frames:
        """Count from 0."""
        return np.arange(stop)

    def array(self, values: Sequence[Any] | np.ndarray) -> Frames:
        """Turn numbers into an array."""
        return np.asarray(values)

    def float32(self, values: Frames) -> Frames:
        """Convert to float32."""
        return values.astype(np.float32, copy=False)

    def int64(self, values: Frames) -> Frames:
        """Cut to whole numbers, towards 0."""
        return values.astype(np.int64)

    def flatnonzero(self, mask: Frames) -> Frames:
        """Say where a mask is true."""
        return np.flatnonzero(mask)

    def lower(self, values: Frames, where: Frames, to: Frames) -> None:
        """Lower values to the least that is sent there, several to one place among them."""
        np.minimum.at(values, where, to)

    def integers(self, high: int, size: int, generator: Generator) -> Frames:
        """Draw whole numbers evenly from 0 to below ``high``."""
        return generator.integers(high, size=size)

    def poisson(self, mean: float, generator: Generator) -> int:
        """Draw one count."""
        return int(generator.poisson(mean))

    def permutation(self, size: int, generator: Generator) -> Frames:
        """Draw an order."""
        return generator.permutation(size)


class _TensorArrays(DeviceArrays):
    """The same for torch, on the device of a tensor."""

    def __init__(self, like: Frames) -> None:
        self.torch = namespace(like)
        self.device = like.device

    def full(self, size: int, value: float | int) -> Frames:
        dtype = self.torch.int64 if isinstance(value, int) else self.torch.float32
        return self.torch.full((size,), value, dtype=dtype, device=self.device)

    def arange(self, stop: int) -> Frames:
        return self.torch.arange(stop, device=self.device)

    def array(self, values: Sequence[Any] | np.ndarray) -> Frames:
        return self.torch.as_tensor(values, device=self.device)

    def float32(self, values: Frames) -> Frames:
        return values.float()

    def int64(self, values: Frames) -> Frames:
        return values.long()

    def flatnonzero(self, mask: Frames) -> Frames:
        return mask.nonzero()[:, 0]

    def lower(self, values: Frames, where: Frames, to: Frames) -> None:
        values.scatter_reduce_(0, where, to, "amin")

    def integers(self, high: int, size: int, generator: Generator) -> Frames:
        return self.torch.randint(high, (size,), generator=generator, device=self.device)

    def poisson(self, mean: float, generator: Generator) -> int:
        rate = self.torch.tensor(mean, dtype=self.torch.float64, device=self.device)
        return int(self.torch.poisson(rate, generator=generator))

    def permutation(self, size: int, generator: Generator) -> Frames:
        return self.torch.randperm(size, generator=generator, device=self.device)


_ARRAYS = DeviceArrays()


def device_of(values: Frames) -> DeviceArrays:
    """Return what makes arrays of the same library on the same device."""
    return _TensorArrays(values) if is_tensor(values) else _ARRAYS
