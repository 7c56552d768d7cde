"""Batches that are pure functions of a seed and a step."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._constraints import Interval, check_arguments, check_value
from .._random import RandomState, check_seed, sample_generator
from .._scene import as_shape


class Stream(ABC):
    """Base of endless streams of (noisy, target) batches.

    Parameters
    ----------
    batch_size : int
        Number of frames in a batch.
    shape : tuple of int
        Shape (H, W) of a frame.
    random_state : int, Generator, RandomState or None
        Seed of the batches that `batch` and iteration return.
    """

    def __init__(self, batch_size: int, shape: tuple[int, int], random_state: RandomState) -> None:
        check_value(batch_size, "batch_size", [Interval(int, 1, None)])
        check_value(shape, "shape", ["frame shape"])
        check_value(random_state, "random_state", ["random_state"])
        self.batch_size = int(batch_size)
        self.shape = as_shape(shape)
        self.random_state = check_seed(random_state)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Yield the batches of step 0, 1, 2, ... without end."""
        return map(self.batch, itertools.count())

    @check_arguments(step=[Interval(int, 0, None)])
    def batch(self, step: int) -> tuple[Any, Any]:
        """Make the batch of a step.

        Parameters
        ----------
        step : int
            Number of the step, from 0.

        Returns
        -------
        noisy, target
            As `make_batch` returns them.

        Raises
        ------
        InvalidParameterError
            If ``step`` is not a whole number from 0.
        """
        return self.make_batch(sample_generator(self.random_state, step))

    @abstractmethod
    def make_batch(self, generator: np.random.Generator) -> tuple[Any, Any]:
        """Make a batch from a generator."""
