"""Smaller batches if a GPU has too little memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from stemkit._warnings import warn_caller

Result = TypeVar("Result")


def halve_until_it_fits(run: Callable[[int], Result], batch_size: int) -> Result:
    """Return ``run(batch_size)``, and halve the batch size as long as memory is insufficient.

    Raises
    ------
    MemoryError
        If the memory is insufficient for a batch of one.
    """
    while True:
        try:
            return run(batch_size)
        except torch.OutOfMemoryError as error:
            if batch_size == 1:
                raise MemoryError(
                    "The GPU has too little memory even for one tile at a time: "
                    'use a smaller tile_size, or device="cpu".'
                ) from error
        # Here the traceback no longer holds the tensors.
        batch_size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warn_caller(
            f"The GPU has too little memory; continuing with batches of {batch_size}.",
            RuntimeWarning,
        )
