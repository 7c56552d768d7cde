"""Functions that work on NumPy arrays and torch tensors alike.

Functions that the two libraries name alike are called through `namespace`. Those that they name
differently are the methods of `ArrayMaker`. Random numbers come from the caller's generator or a
fresh one, never from the global random state.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ._labelled import unlabelled
from .exceptions import InvalidParameterError

# An array or a tensor, and a generator of the same library; torch is not imported here.
Frames: TypeAlias = Any
Generator: TypeAlias = Any
Float32Array: TypeAlias = NDArray[np.float32]

_BLOCK = 2**18
_MOST = 1e18  # electrons; NumPy counts up to nine times as many


def is_tensor(values: Any) -> bool:
    """Return whether values are a tensor, without importing torch."""
    torch = sys.modules.get("torch")  # if values are a tensor, it was imported
    return torch is not None and isinstance(values, torch.Tensor)


def namespace(frames: Frames) -> Any:
    """Return the module whose functions take these frames: numpy or torch."""
    return sys.modules["torch"] if is_tensor(frames) else np


def as_frames(frames: Frames, *, name: str = "frames") -> Frames:
    """Return finite float32 frames (..., H, W) of the library and on the device they came from.

    Parameters
    ----------
    frames : array-like or torch.Tensor of shape (..., H, W)
        Frames of any real dtype. Tensors may require a gradient.
    name : str, default="frames"
        Name of the argument, for messages.

    Returns
    -------
    ndarray or torch.Tensor of shape (..., H, W), float32

    Raises
    ------
    ValueError
        If the frames are not real, finite numbers, if they are empty or if they have fewer than two
        dimensions.
    """
    values: Any = frames if is_tensor(frames) else as_array(frames, name)
    if is_tensor(values):
        _check_layout(values, name)
    is_real = not values.is_complex() if is_tensor(values) else values.dtype.kind in "buif"
    if not is_real:
        raise ValueError(
            f"{name} must be real numbers; got {values.dtype}. Take the modulus or convert "
            f"them first."
        )
    shape = tuple(values.shape)
    if len(shape) < 2:
        raise ValueError(f"{name} must have shape (..., H, W); got {shape}. Reshape it to frames.")
    if 0 in shape:
        raise ValueError(f"{name} has shape {shape} and so no pixel; pass at least one frame.")
    if is_tensor(values):
        values = values.float()
    else:
        with np.errstate(over="ignore"):
            values = values.astype(np.float32, copy=False)
    if not is_finite(values):
        kind = "NaN" if bool((values != values).any()) else "inf or values beyond float32"
        raise ValueError(
            f"{name} contains {kind}; replace these pixels (np.nan_to_num, or the median of their "
            f"neighbours) or leave their frames out."
        )
    return values


def is_finite(values: Frames) -> bool:
    """Return whether all values are finite; there must be at least one."""
    # Both are NaN if any value is, and no mask as large as the frames is made.
    if is_tensor(values):
        low, high = namespace(values).aminmax(values.detach())
        return bool(low > -math.inf) and bool(high < math.inf)
    return bool(values.min() > -math.inf) and bool(values.max() < math.inf)


def as_array(values: Any, name: str) -> NDArray:
    """Convert what a user passed to a NumPy array of any dtype; tensors lose their gradient.

    Parameters
    ----------
    values : array-like or tensor
        Numbers. A tensor is copied from its device; bfloat16 and float8 become float32. Frames
        with named axes, as those of HyperSpy and xarray, get the order (n_frames, H, W).
    name : str
        Name of the argument, for messages.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If a tensor holds no values or can't become an array, pixels are masked, nested lists are
        ragged, or named axes are not those of frames.
    """
    values = unlabelled(values, name)
    if is_tensor(values):
        return _tensor_as_array(values, name)
    if isinstance(values, list | tuple) and any(is_tensor(item) for item in values):
        values = [as_array(item, name) for item in values]
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(
            f"{name} has masked pixels; fill them first ({name}.filled(value)), for instance with "
            f"the median of their neighbours."
        )
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} holds frames of different shapes; crop or pad them to one (H, W)."
        ) from error
    except Exception as error:  # objects of other packages may raise anything
        raise ValueError(
            f"{name} is a {type(values).__name__} that can't be converted to an array ({error}); "
            f"pass a NumPy array."
        ) from error


def rescale_to_float32(frames: Float32Array) -> tuple[Float32Array, np.float32]:
    """Return frames scaled so that their powers fit into float32, and the factor that undoes it.

    Frames in common units are returned unchanged. The factor is a power of two, so that nothing is
    rounded.
    """
    peak = max(float(frames.max()), -float(frames.min()))
    if peak == 0 or 1e-3 < peak < 1e6:
        return frames, np.float32(1)
    unit = np.float32(2.0 ** np.floor(np.log2(peak)))
    return frames / unit, unit


def _tensor_as_array(tensor: Any, name: str) -> NDArray:
    if tensor.device.type == "meta":
        raise ValueError(
            f"{name} is a tensor on the meta device, which holds no values; "
            f"pass one on the CPU or a GPU."
        )
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.is_floating_point() and tensor.element_size() < 4:
        tensor = tensor.float()  # NumPy has neither bfloat16 nor float8
    try:
        return tensor.numpy()
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{name} is a tensor of {tensor.dtype} and layout {tensor.layout}, which can't be "
            f"converted to an array; pass {name}.to_dense()."
        ) from error


def _check_layout(tensor: Any, name: str) -> None:
    if tensor.device.type == "meta":
        raise ValueError(
            f"{name} is on the device meta, which holds no values; pass a real tensor."
        )
    if str(tensor.layout) != "torch.strided" or tensor.is_quantized:
        raise ValueError(
            f"{name} is a sparse or quantized tensor; convert it with to_dense() or dequantize()."
        )


def check_draws(frames: Frames, generator: Generator | None) -> Generator:
    """Return a generator for these frames: the given one if it fits, or a fresh one."""
    if not is_tensor(frames):
        if generator is None:
            return np.random.default_rng()
        if isinstance(generator, np.random.Generator):
            return generator
        raise InvalidParameterError(
            f"generator must be a numpy.random.Generator for arrays; "
            f"got {type(generator).__name__}. Pass np.random.default_rng(seed)."
        )
    torch = namespace(frames)
    if generator is None:
        fresh = torch.Generator(frames.device)
        fresh.seed()
        return fresh
    if isinstance(generator, torch.Generator) and generator.device.type == frames.device.type:
        return generator
    got = getattr(generator, "device", type(generator).__name__)
    raise InvalidParameterError(
        f"generator must be a torch.Generator on {frames.device} for these tensors; got {got}. "
        f"Pass torch.Generator({str(frames.device)!r}).manual_seed(seed)."
    )


def normal(frames: Frames, shape: tuple[int, ...], generator: Generator | None) -> Frames:
    """Draw standard normals of a shape, in the library and on the device of ``frames``."""
    generator = check_draws(frames, generator)
    if is_tensor(frames):
        return namespace(frames).randn(shape, generator=generator, device=frames.device)
    return generator.standard_normal(shape, dtype=np.float32)


def uniform(frames: Frames, shape: tuple[int, ...], generator: Generator | None) -> Frames:
    """Draw uniform numbers from [0, 1)."""
    generator = check_draws(frames, generator)
    if is_tensor(frames):
        return namespace(frames).rand(shape, generator=generator, device=frames.device)
    return generator.random(shape, dtype=np.float32)


def poisson(mean: Frames, generator: Generator | None) -> Frames:
    """Draw counts with these means, of the same shape."""
    generator = check_draws(mean, generator)
    if not bool(mean.max() <= _MOST):
        raise ValueError(
            f"frames have a pixel of {float(mean.max()):.3g} electrons, and more than {_MOST:.0e} "
            f"can't be counted. Rescale the frames, or check the dose, the gain and the reference."
        )
    if is_tensor(mean):
        return namespace(mean).poisson(mean, generator=generator)
    # NumPy counts in 64 bits, from means in 64 bits: in blocks, to save memory.
    counts = np.empty(mean.size, dtype=np.float32)
    for start in range(0, mean.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        counts[block] = generator.poisson(mean.reshape(-1)[block])
    return counts.reshape(mean.shape)


def on_device_of(frames: Frames, values: np.ndarray) -> Frames:
    """Return a NumPy array as an array or tensor that can be combined with ``frames``."""
    if is_tensor(frames):
        return namespace(frames).asarray(values, device=frames.device)
    return values


class ArrayMaker:
    """Make and index NumPy arrays of float32, int64 or bool; a subclass does so for tensors."""

    def full(self, size: int, value: float | int) -> Frames:
        """Return a vector of one value, int64 if that is an int."""
        return np.full(size, value, dtype=np.int64 if isinstance(value, int) else np.float32)

    def arange(self, stop: int) -> Frames:
        """Return the whole numbers from 0 to below ``stop``."""
        return np.arange(stop)

    def array(self, values: Sequence[Any] | np.ndarray) -> Frames:
        """Convert numbers to an array."""
        return np.asarray(values)

    def float32(self, values: Frames) -> Frames:
        """Convert to float32."""
        return values.astype(np.float32, copy=False)

    def int64(self, values: Frames) -> Frames:
        """Convert to int64, rounding towards 0."""
        return values.astype(np.int64)

    def flatnonzero(self, mask: Frames) -> Frames:
        """Return the indices at which a mask is true."""
        return np.flatnonzero(mask)

    def minimum_at(self, values: Frames, index: Frames, other: Frames) -> None:
        """Set ``values[index]`` to the minimum of it and ``other``; an index may repeat."""
        np.minimum.at(values, index, other)

    def integers(self, high: int, size: int, generator: Generator) -> Frames:
        """Draw whole numbers uniformly from 0 to below ``high``."""
        return generator.integers(high, size=size)

    def poisson(self, mean: float, generator: Generator) -> int:
        """Draw one count."""
        return int(generator.poisson(mean))

    def permutation(self, size: int, generator: Generator) -> Frames:
        """Draw a random order of 0 to below ``size``."""
        return generator.permutation(size)


class _TensorMaker(ArrayMaker):
    """Make and index tensors on the device of a given one."""

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

    def minimum_at(self, values: Frames, index: Frames, other: Frames) -> None:
        values.scatter_reduce_(0, index, other, "amin")

    def integers(self, high: int, size: int, generator: Generator) -> Frames:
        return self.torch.randint(high, (size,), generator=generator, device=self.device)

    def poisson(self, mean: float, generator: Generator) -> int:
        rate = self.torch.tensor(mean, dtype=self.torch.float64, device=self.device)
        return int(self.torch.poisson(rate, generator=generator))

    def permutation(self, size: int, generator: Generator) -> Frames:
        return self.torch.randperm(size, generator=generator, device=self.device)


_NUMPY_MAKER = ArrayMaker()


def maker_like(values: Frames) -> ArrayMaker:
    """Return an ArrayMaker for the library and the device of an array or tensor."""
    return _TensorMaker(values) if is_tensor(values) else _NUMPY_MAKER
