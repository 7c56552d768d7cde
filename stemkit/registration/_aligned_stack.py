"""Aligned frames with a mask of where they hold data."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class AlignedStack(np.ndarray):
    """Frames aligned to the first: an ndarray with a ``mask``, True where a frame holds data.

    Slices along the frames keep their part of the mask, and copies keep all of it. All other
    operations, arithmetic included, return plain arrays.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, H, W)
        The frames.
    mask : ndarray of shape (n_frames, H, W), bool, optional
        True where a frame holds data.
    origin : (int, int), default=(0, 0)
        Position (y, x) of the first pixel in px of the first frame.

    Attributes
    ----------
    mask : ndarray of shape (n_frames, H, W), bool, or None
        True where a frame holds data.
    origin : (int, int) or None
        Position (y, x) of the first pixel in px of the first frame; None of views and of slices
        of the pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.registration import AlignedStack
    >>> stack = AlignedStack(np.ones((3, 2, 2)), np.ones((3, 2, 2), dtype=bool))
    >>> stack[1:].mask.shape, stack.copy().mask is stack.mask, type(stack + 1)
    ((2, 2, 2), False, <class 'numpy.ndarray'>)
    """

    mask: NDArray[np.bool_] | None
    origin: tuple[int, int] | None

    def __new__(
        cls,
        frames: NDArray,
        mask: NDArray[np.bool_] | None = None,
        origin: tuple[int, int] | None = (0, 0),
    ) -> Self:
        stack = np.asarray(frames).view(cls)
        stack.mask = mask
        stack.origin = origin
        return stack

    def __array_finalize__(self, other: Any) -> None:
        # They would not fit views of other shapes.
        self.mask = self.origin = None

    def __array_wrap__(
        self, array: NDArray, context: Any = None, return_scalar: bool = False
    ) -> Any:
        return array[()] if return_scalar else np.asarray(array)

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if self.mask is None or not isinstance(part, np.ndarray):
            return part
        of_frames = not isinstance(key, tuple) and part.ndim == self.ndim
        return AlignedStack(part, self.mask[key], self.origin if of_frames else None)

    def copy(self, order: Any = "C") -> Self:
        """Return a copy with a mask of its own.

        Parameters
        ----------
        order : {"C", "F", "A", "K"}, default="C"
            Layout of the copy in memory, as for :meth:`numpy.ndarray.copy`.

        Returns
        -------
        AlignedStack of the same shape
        """
        mask = None if self.mask is None else self.mask.copy()
        return type(self)(np.array(self, order=order), mask, self.origin)

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> Self:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return AlignedStack, (np.asarray(self), self.mask, self.origin)
