"""Random generators that depend on nothing but what they are asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

RandomState: TypeAlias = int | np.integer | np.random.Generator | np.random.RandomState | None


def check_generator(random_state: RandomState) -> np.random.Generator:
    """Turn what scikit-learn calls a ``random_state`` into a NumPy generator.

    A ``Generator`` is returned as it is; a ``RandomState`` gives a seed and so moves on.
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
    """Return one int that stands for ``random_state``; fresh for None."""
    if isinstance(random_state, (int, np.integer)) and random_state >= 0:
        return int(random_state)
    return int(check_generator(random_state).integers(2**31))


def check_resumable(checkpoint_dir: object, random_state: RandomState) -> None:
    """Refuse checkpoints of a fit that could not be taken up: its seed would be another one."""
    if checkpoint_dir is not None and random_state is None:
        raise ValueError(
            "checkpoint_dir needs a random_state that is the same when fit is called again, "
            "or it could not go on; pass an int."
        )


def sample_generator(seed: int, index: int, *more: int) -> np.random.Generator:
    """Return the generator of one sample: a pure function of its seed and index.

    So a sample is the same in whatever order, batch or process it is drawn. Its stream is that of
    no other index, nor that of the seed itself.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, *more)))


def frame_generators(
    frames: NDArray[np.float32], random_state: RandomState
) -> Iterator[np.random.Generator]:
    """Give each frame of a stack a generator of its own: one of the seed, and of the frame alone.

    A frame's draws are the same in whatever order or subset it comes. Frames that are repeated get
    different ones.
    """
    seed = check_seed(random_state)
    seen: Counter[int] = Counter()
    for frame in frames:
        checksum = int.from_bytes(hashlib.blake2b(frame, digest_size=8).digest(), "little")
        yield sample_generator(seed, checksum, seen[checksum])
        seen[checksum] += 1
