"""Sources of training batches.

A batch is a pure function of its step, so that a resumed fit needs no state of a generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stemkit._constraints import Interval, check_arguments, shorten
from stemkit._random import sample_generator
from stemkit.exceptions import InvalidParameterError

Batch = tuple[Tensor, ...]


class Source(Protocol):
    """Protocol of objects that return the batch of a step, the same one at each call.

    A fit with a `checkpoint_dir` is continued if all attributes of its source are the same. A
    source whose attributes change as it is used needs a method ``fingerprint()`` that returns a
    mapping of what decides its batches.
    """

    steps_per_epoch: int

    def batch(self, step: int) -> Batch:
        """Return the batch of a step.

        Parameters
        ----------
        step : int
            Number of the step from 0, counted over all epochs.

        Returns
        -------
        tuple of Tensor
            Each with the samples along its first axis.
        """
        ...


class ArraySource:
    """Batches from arrays with one sample in each row; an epoch has each sample once.

    Parameters
    ----------
    *arrays : ndarray of shape (n_samples, ...)
        Arrays or memory maps; only the rows of a batch are read.
    batch_size : int, default=16
        Samples in a batch. The last batch of an epoch may be smaller.
    shuffle : bool, default=True
        Draw a new order for each epoch, from `random_state` and the epoch's number.
    random_state : int, default=0
        Seed of the orders.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.engine import ArraySource
    >>> source = ArraySource(np.arange(5.0), batch_size=2, shuffle=False)
    >>> [source.batch(step)[0].tolist() for step in range(source.steps_per_epoch)]
    [[0.0, 1.0], [2.0, 3.0], [4.0]]
    """

    @check_arguments(batch_size=[Interval(int, 1, None)], shuffle=["boolean"])
    def __init__(
        self, *arrays: NDArray, batch_size: int = 16, shuffle: bool = True, random_state: int = 0
    ) -> None:
        lengths = {len(array) for array in arrays}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(
                f"arrays must hold the same number of samples, at least one; got {sorted(lengths)}."
            )
        self.arrays = arrays
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.random_state = random_state
        self.n_samples = lengths.pop()
        self.steps_per_epoch = math.ceil(self.n_samples / batch_size)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step.

        Parameters
        ----------
        step : int
            Number of the step from 0, counted over all epochs.

        Returns
        -------
        tuple of Tensor
            The rows of each array.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        rows = np.arange(self.n_samples)
        if self.shuffle:
            rows = sample_generator(self.random_state, epoch).permutation(self.n_samples)
        # sorted, because a memory map is read fastest in order
        rows = np.sort(rows[position * self.batch_size : (position + 1) * self.batch_size])
        return as_tensors([array[rows] for array in self.arrays])


class StreamSource:
    """Batches that a function makes anew for each step, for instance of simulated frames.

    Parameters
    ----------
    make_batch : callable
        ``make_batch(generator)`` returns the arrays of one batch, samples along the first axis. Its
        only source of randomness is the `numpy.random.Generator`.
    steps_per_epoch : int, default=100
        Number of steps after which a row of the history is written and the validation loss is
        computed.
    random_state : int, default=0
        Seed. The generator of a step depends only on this and the step.

    Examples
    --------
    >>> from stemkit.engine import StreamSource
    >>> source = StreamSource(lambda generator: (generator.random((4, 8, 8)),))
    >>> source.batch(7)[0].shape, bool((source.batch(7)[0] == source.batch(7)[0]).all())
    (torch.Size([4, 8, 8]), True)
    """

    @check_arguments(make_batch=[callable], steps_per_epoch=[Interval(int, 1, None)])
    def __init__(
        self,
        make_batch: Callable[[np.random.Generator], Sequence[NDArray | Tensor]],
        *,
        steps_per_epoch: int = 100,
        random_state: int = 0,
    ) -> None:
        self.make_batch = make_batch
        self.steps_per_epoch = steps_per_epoch
        self.random_state = random_state

    def batch(self, step: int) -> Batch:
        """Make the batch of a step.

        Parameters
        ----------
        step : int
            Number of the step from 0, counted over all epochs.

        Returns
        -------
        tuple of Tensor
            The arrays that ``make_batch`` returned.

        Raises
        ------
        InvalidParameterError
            If ``make_batch`` does not return a tuple of arrays or tensors.
        """
        arrays = self.make_batch(sample_generator(self.random_state, step))
        if isinstance(arrays, np.ndarray | Tensor) and arrays.ndim > 1:
            arrays = tuple(arrays)  # one array of all
        if not isinstance(arrays, list | tuple) or not all(map(_is_array, arrays)):
            raise InvalidParameterError(
                "make_batch(generator) must return a tuple of arrays or tensors, each with the "
                f"samples along its first axis; it returned {shorten(arrays)}."
            )
        return as_tensors(arrays)


def _is_array(value: object) -> bool:
    if isinstance(value, np.ndarray | Tensor):
        return value.ndim > 0
    return isinstance(value, list | tuple)


def as_tensors(arrays: Sequence[NDArray | Tensor]) -> Batch:
    """Turn arrays into tensors, those of floats into float32."""
    tensors = (torch.as_tensor(np.asarray(a) if not isinstance(a, Tensor) else a) for a in arrays)
    return tuple(t.float() if t.is_floating_point() else t for t in tensors)
