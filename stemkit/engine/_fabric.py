"""Functions on top of lightning-fabric: no messages, parts of batches, seeds."""

from __future__ import annotations

import logging

import numpy as np
import torch
from lightning_fabric import Fabric

from stemkit.engine._device import pick_device, pick_precision
from stemkit.engine._randomness import GLOBAL_STATE, seed_generators
from stemkit.engine._sources import Batch


def make_fabric(device: str | int | torch.device, precision: str) -> Fabric:
    """Return a Fabric of one device, without messages on the console."""
    picked = pick_device(device)
    logger = logging.getLogger("lightning_fabric")
    # Two threads at once would restore each other's level.
    with GLOBAL_STATE:
        level = logger.level
        logger.setLevel(logging.WARNING)
        try:
            return Fabric(
                accelerator=picked.type,
                devices=1 if picked.type == "cpu" else [picked.index],
                precision=pick_precision(precision, picked),  # type: ignore[arg-type]  # a name of it
            )
        finally:
            logger.setLevel(level)


def take_share(fabric: Fabric, batch: Batch) -> Batch:
    """Return the rows of a batch for this process, on its device.

    If there are more processes than rows, some rows are used by more than one process.
    """
    if fabric.world_size > 1:
        n = len(batch[0])
        rows = torch.arange(fabric.global_rank, max(n, fabric.world_size), fabric.world_size) % n
        batch = tuple(tensor[rows] for tensor in batch)
    return fabric.to_device(batch)


def seed_step(fabric: Fabric, random_state: int, step: int) -> None:
    """Seed torch for a step, so that a resumed fit draws the numbers of an uninterrupted one."""
    entropy = [random_state, step, fabric.global_rank]
    seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    seed_generators(seed, fabric.device)
