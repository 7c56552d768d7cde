"""Invalid and valid arrays, tensors and parameters."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

Rng = np.random.Generator


def _identity(value: Any) -> Any:
    return value


class _Opaque:
    """An object of an unknown class."""


PARAMETERS: tuple[Any, ...] = (
    "auto",
    "x",
    "",
    0,
    -1,
    1,
    3,
    0.5,
    2.5,
    -0.5,
    1e-30,
    1e30,
    10**30,
    float("nan"),
    float("inf"),
    float("-inf"),
    True,
    False,
    None,
    np.int64(3),
    np.float32(0.5),
    np.bool_(True),
    np.str_("x"),
    [],
    [1, 2],
    [0.5, float("nan")],
    ["a"],
    (),
    (3, 4),
    (4, 3.5),
    (0, 0),
    (2, 1),
    {},
    {"a": 1},
    set(),
    range(3),
    slice(None),
    b"x",
    1j,
    Fraction(1, 2),
    Decimal("0.5"),
    Path("x"),
    _Opaque(),
    _identity,
    int,
    np.ones(3),
    np.array(2.0),
    np.array([np.nan, 1.0]),
    torch.ones(2),
    torch.tensor(0.5),
)

_DTYPES = (
    *("float32", "float64", "float16", ">f4", ">f8", "uint8", "uint16", ">u2", "int8", "int32"),
    *("int64", "uint64", "bool", "complex64", "object", "U3", "S2", "datetime64[s]"),
)
_SCALES = (0.0, 1e-45, 1e-30, 1e-9, 1e9, 1e20, 1e30, 3e38, 1e300)
_LAYOUTS: dict[str, Callable[[Any, Rng], Any]] = {
    "Fortran order": lambda a, rng: np.asfortranarray(a),
    "every second": lambda a, rng: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "backwards": lambda a, rng: a[..., ::-1] if a.ndim else a,
    "read-only": lambda a, rng: _read_only(a),
    "broadcast": lambda a, rng: (
        np.broadcast_to(a.reshape(-1)[:1].reshape(()), a.shape) if a.size else a
    ),
    "matrix transposed": lambda a, rng: a.T,
}
_CONTAINERS: dict[str, Callable[[Any, Rng], Any]] = {
    "list": lambda a, rng: a.tolist(),
    "list of arrays": lambda a, rng: list(a) if a.ndim else [a],
    "ragged list": lambda a, rng: [*list(a), np.ones((2, 3))] if a.ndim else [a, [1, 2]],
    "masked": lambda a, rng: np.ma.masked_array(a, rng.random(a.shape) < 0.1),
    "all masked": lambda a, rng: np.ma.masked_all_like(a),
    "DataFrame": lambda a, rng: pd.DataFrame(np.atleast_2d(a.reshape(len(a), -1) if a.ndim else a)),
    "Series": lambda a, rng: pd.Series(a.reshape(-1)),
    "subclass": lambda a, rng: a.view(_Tagged),
    "memoryview": lambda a, rng: memoryview(np.ascontiguousarray(a)),
    "tuple": lambda a, rng: tuple(a) if a.ndim else (a,),
    "generator": lambda a, rng: (frame for frame in np.atleast_1d(a)),
}
_TENSORS: dict[str, Callable[[torch.Tensor], Any]] = {
    "plain": lambda t: t,
    "with a gradient": lambda t: t.clone().requires_grad_(),
    "result of a graph": lambda t: t.clone().requires_grad_() * 2,
    "bfloat16": lambda t: t.bfloat16(),
    "half": lambda t: t.half(),
    "double": lambda t: t.double(),
    "int32": lambda t: t.int(),
    "int64": lambda t: t.long(),
    "uint8": lambda t: t.byte(),
    "bool": lambda t: t > 1,
    "complex": lambda t: t.to(torch.complex64),
    "meta": lambda t: t.to("meta"),
    "transposed": lambda t: t.transpose(-1, -2) if t.ndim > 1 else t,
    "sparse": lambda t: t.to_sparse(),
    "parameter": lambda t: torch.nn.Parameter(t),
    "conjugate": lambda t: torch.complex(t.float(), t.float()).conj(),
    "negative view": lambda t: torch.complex(t, t).conj().imag,
    "expanded": lambda t: t[..., :1].expand(t.shape) if t.ndim and t.numel() else t,
    "float8": lambda t: t.to(torch.float8_e4m3fn),
}


class _Tagged(np.ndarray):
    """A subclass of arrays."""


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def _choose(options: dict[str, Any], rng: Rng) -> tuple[str, Any]:
    names = list(options)
    name = names[rng.integers(len(names))]
    return name, options[name]


def good_frames(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    """Make noisy non-negative frames of atoms in an array of any number of dimensions."""
    if len(shape) < 2 or 0 in shape:
        return rng.uniform(1, 99, shape).astype("float32")
    y, x = np.indices(shape[-2:])
    frames = np.full(shape, 20.0)
    for frame in frames.reshape(-1, *shape[-2:]):
        for _ in range(3):
            row, column = rng.uniform((0, 0), shape[-2:])
            frame += 150 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 4.5)
        frame += rng.uniform(0, 6, frame.shape)
    return frames.astype("float32")


def _shape(rng: Rng, usual: tuple[int, ...]) -> tuple[int, ...]:
    """Choose another shape: of another size, with more or fewer axes, or empty."""
    kind = rng.integers(5)
    if kind == 0:  # other sides, from 1
        return tuple(int(n) for n in rng.integers(1, 18, len(usual)))
    if kind == 1:
        return (int(rng.integers(1, 4)),) * int(rng.integers(0, 6))
    if kind == 2:
        return usual[1:]
    if kind == 3:
        return (1, *usual)
    empty = list(usual)
    empty[rng.integers(len(empty))] = 0
    return tuple(empty)


def spoilt_array(rng: Rng, usual: tuple[int, ...]) -> tuple[str, Any]:
    """Change one to three properties of an array of frames; return the changes and the array."""
    notes: list[str] = []
    shape = usual
    kinds = rng.permutation(["shape", "dtype", "scale", "poison", "layout", "container", "tensor"])
    kinds = set(kinds[: rng.integers(1, 4)])
    if "shape" in kinds:
        shape = _shape(rng, usual)
        notes.append(f"shape {shape}")
    values: Any = good_frames(rng, shape)
    if "scale" in kinds:
        scale = _SCALES[rng.integers(len(_SCALES))] * (1, -1)[rng.integers(2)]
        with np.errstate(over="ignore", under="ignore"):
            values = values.astype("float64") / 256 * scale
            values = values if abs(scale) > 1e38 else values.astype("float32")
        notes.append(f"values of {scale:g}")
    if "poison" in kinds and values.size:
        value = (np.nan, np.inf, -np.inf, 1e39, -1.0, 65535.0, 1e20)[rng.integers(7)]
        values = values.astype("float64") if value == 1e39 else values.copy()
        values.reshape(-1)[rng.integers(values.size)] = value
        notes.append(f"a pixel of {value:g}")
    if "dtype" in kinds:
        dtype = _DTYPES[rng.integers(len(_DTYPES))]
        with np.errstate(all="ignore"):
            values = _cast(values, dtype)
        if rng.integers(3) == 0 and values.dtype.kind in "iu" and values.size:
            values.reshape(-1)[0] = np.iinfo(values.dtype).max
        notes.append(f"dtype {dtype}")
    if "layout" in kinds:
        name, change = _choose(_LAYOUTS, rng)
        values = change(np.asarray(values), rng)  # a scalar if indexing removed all axes
        notes.append(name)
    if "tensor" in kinds and values.dtype.kind in "biuf" and values.dtype.isnative:
        name, tensor = _choose(_TENSORS, rng)
        try:
            values = tensor(torch.from_numpy(np.array(values)))
            notes.append(f"tensor {name}")
        except (RuntimeError, TypeError, NotImplementedError):  # torch does not support it
            values = torch.from_numpy(np.array(values))
            notes.append("tensor")
    elif "container" in kinds:
        name, change = _choose(_CONTAINERS, rng)
        try:
            values = change(values, rng)
            notes.append(name)
        except (ValueError, TypeError):  # not possible for this dtype
            notes.append("array")
    return ", ".join(notes) or "unchanged", values


def _cast(values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "object":
        return values.astype(object)
    if np.dtype(dtype).kind in "iuM":
        kind = np.int64 if np.dtype(dtype).kind == "M" else dtype
        bounds = np.iinfo(np.int64 if np.dtype(dtype).kind == "M" else dtype)
        finite = np.nan_to_num(values.astype("float64"), nan=0)
        return finite.clip(bounds.min / 2, bounds.max / 2).astype(kind).astype(dtype)
    return values.astype(dtype)


def spoilt_parameter(rng: Rng) -> Any:
    """Choose a value that is invalid for most parameters."""
    return PARAMETERS[rng.integers(len(PARAMETERS))]


def describe(value: Any) -> str:
    """Format a value on one line."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return f"{type(value).__name__}{tuple(value.shape)} {value.dtype}"
    try:
        text = " ".join(repr(value).split())
    except Exception as error:  # a repr may fail in any way
        text = f"{type(value).__name__} (repr: {error})"
    return text if len(text) < 120 else text[:117] + "..."
