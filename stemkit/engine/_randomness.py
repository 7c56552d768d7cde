"""Use of torch's global random numbers, by one thread at a time and without a trace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# Layers, dropout and users' functions draw from generators that all threads of a process share.
# One lock for all of them, since a thread would otherwise continue, and restore, another's state.
GLOBAL_STATE = threading.RLock()

Kept = dict[torch.device, Tensor]


@contextmanager
def own_randomness(
    *devices: torch.device, seed: int | None = None, kept: Kept | None = None
) -> Iterator[None]:
    """Use torch's global generators alone, and restore their states on exit.

    Other threads that ask for them wait; the same thread may ask again.

    Parameters
    ----------
    *devices : torch.device
        Devices besides the CPU, of which only GPUs have a generator of their own.
    seed : int, optional
        Seed of the generators. Without it they continue from their present states.
    kept : dict, optional
        Filled with the states on exit, from which the next use with the same dict continues.
    """
    gpus = [device for device in devices if device.type == "cuda"]
    with GLOBAL_STATE, torch.random.fork_rng(devices=gpus):
        for device, state in (kept or {}).items():
            _set_state(device, state)
        if seed is not None:
            seed_generators(seed, *gpus)
        try:
            yield
        finally:
            if kept is not None:
                kept.update({device: _get_state(device) for device in (_CPU, *gpus)})


def seed_generators(seed: int, *devices: torch.device) -> None:
    """Seed the global generators of the CPU and of GPUs, inside of `own_randomness`."""
    # torch.manual_seed would seed all GPUs, also those that are not used.
    torch.default_generator.manual_seed(seed)
    if any(device.type == "cuda" for device in devices):
        torch.cuda.manual_seed(seed)


def all_gpus() -> list[torch.device]:
    """Return the GPUs that a function which is not ours may draw numbers on."""
    # None before the first use of one: saving their states would start all of them.
    n_gpus = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
    return [torch.device("cuda", index) for index in range(n_gpus)]


_CPU = torch.device("cpu")


def _get_state(device: torch.device) -> Tensor:
    return torch.get_rng_state() if device.type == "cpu" else torch.cuda.get_rng_state(device)


def _set_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device)
