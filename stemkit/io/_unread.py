"""Frames that are still in their file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True)
class Unread:
    """An array in a file of which only the header was read.

    Parameters
    ----------
    shape : tuple of int
        (n_frames, H, W).
    dtype : dtype
        Type of the values.
    read : callable
        Returns the array.
    lazy : callable, optional
        Returns it as a dask array.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], NDArray[Any]]
    lazy: Callable[[], Any] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.read(), dtype=dtype)


def as_lazy(frames: Any) -> Any:
    """Return frames as a dask array in chunks of whole frames, or None if that is not possible."""
    if hasattr(frames, "dask"):
        return frames
    if isinstance(frames, Unread):
        return None if frames.lazy is None else frames.lazy()
    if not isinstance(frames, np.memmap):
        return None
    import dask.array

    return dask.array.from_array(frames, chunks=frames_in_chunks(frames.shape, frames.dtype))


def frames_in_chunks(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int, int]:
    """Return chunks of whole frames of about 64 MB."""
    n_frames, height, width = shape
    per_chunk = max(1, (64 << 20) // max(1, height * width * dtype.itemsize))
    return min(n_frames, per_chunk), height, width
