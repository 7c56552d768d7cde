"""What the loop needs of lightning-fabric beyond its own methods: silence, shares, seeds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from lightning_fabric import Fabric

from stemkit.engine._device import pick_device, pick_precision
from stemkit.engine._sources import Batch


def make_fabric(device: str | int | torch.device, precision: str) -> Fabric:
    """Make a Fabric of one device, without a word on the console."""
    picked = pick_device(device)
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        return Fabric(
            accelerator=picked.type,
            devices=1 if picked.type == "cpu" else [picked.index],
            precision=pick_precision(precision, picked),  # type: ignore[arg-type]  # one of its names
        )
    finally:
        logger.setLevel(level)


def take_share(fabric: Fabric, batch: Batch) -> Batch:
    """Give this process its rows of a batch, on its device.

    Where there are more processes than rows, some take a row that another one has too.
    """
    if fabric.world_size > 1:
        n = len(batch[0])
        rows = torch.arange(fabric.global_rank, max(n, fabric.world_size), fabric.world_size) % n
        batch = tuple(tensor[rows] for tensor in batch)
    return fabric.to_device(batch)


@contextmanager
def own_randomness(fabric: Fabric) -> Iterator[None]:
    """Leave torch's global random state as it was found."""
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def seed_step(fabric: Fabric, random_state: int, step: int) -> None:
    """Seed torch from the step alone, so that a resumed fit draws what an unbroken one does."""
    entropy = [random_state, step, fabric.global_rank]
    seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    # not torch.manual_seed: it seeds all GPUs, also those of others and those not yet in use
    torch.default_generator.manual_seed(seed)
    if fabric.device.type == "cuda":
        torch.cuda.manual_seed(seed)
