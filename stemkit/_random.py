"""Random generators that depend only on their seed and index."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

RandomState: TypeAlias = int | np.integer | np.random.Generator | np.random.RandomState | None


def check_generator(random_state: RandomState) -> np.random.Generator:
    """Return a NumPy generator for a ``random_state`` of scikit-learn.

    A ``Generator`` is returned as it is; from a ``RandomState`` a seed is drawn.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    if random_state is None or isinstance(random_state, (int, np.integer)):
        if random_state is not None and random_state < 0:
            raise ValueError(f"random_state must not be negative; got {random_state}.")
        return np.random.default_rng(random_state)
    raise ValueError(
        f"random_state must be None, an int, a RandomState or a Generator; got {random_state!r}."
    )


def check_seed(random_state: RandomState) -> int:
    """Return an int for ``random_state``; a random one for None."""
    if isinstance(random_state, (int, np.integer)) and random_state >= 0:
        return int(random_state)
    return int(check_generator(random_state).integers(2**31))


def check_resumable(checkpoint_dir: object, random_state: RandomState) -> None:
    """Check that a fit with a checkpoint has a seed, which is the same when it is continued."""
    if checkpoint_dir is not None and random_state is None:
        raise ValueError(
            "checkpoint_dir needs a random_state that is the same when fit is called again to "
            "continue; pass an int."
        )


def sample_generator(seed: int, index: int, *more: int) -> np.random.Generator:
    """Return the generator of one sample, a function of the seed and the index alone.

    So a sample does not depend on the order, batch or process in which it is drawn. Its stream
    differs from those of other indices and of the seed itself.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, *more)))


def frame_generators(
    frames: NDArray[np.float32], random_state: RandomState
) -> Iterator[np.random.Generator]:
    """Yield a generator for each frame of a stack, from the seed and the frame's values.

    The random numbers of a frame do not depend on its position or on the other frames. Equal frames
    get different ones.
    """
    seed = check_seed(random_state)
    n_before: Counter[int] = Counter()
    for frame in frames:
        checksum = int.from_bytes(hashlib.blake2b(frame, digest_size=8).digest(), "little")
        yield sample_generator(seed, checksum, n_before[checksum])
        n_before[checksum] += 1
