"""Fabrics of one device, parts of batches for several processes, and seeds of steps."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch

from stemkit.engine import _fabric
from stemkit.engine._fabric import make_fabric, seed_step, take_share
from stemkit.engine._randomness import own_randomness


@pytest.mark.parametrize(
    "device, accelerator, devices", [("cpu", "cpu", 1), ("cuda:1", "cuda", [1]), (0, "cuda", [0])]
)
def test_a_fabric_uses_the_one_device_that_was_asked_for(monkeypatch, device, accelerator, devices):
    # Without `devices`, lightning uses all GPUs.
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(_fabric, "Fabric", lambda **arguments: arguments)
    made = make_fabric(device, "auto")
    assert made["accelerator"] == accelerator
    assert made["devices"] == devices
    assert made["precision"] == ("32-true" if accelerator == "cpu" else "bf16-mixed")


@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
def test_the_level_of_lightnings_messages_is_restored(monkeypatch, level):
    logger = logging.getLogger("lightning_fabric")
    monkeypatch.setattr(logger, "level", level)
    make_fabric("cpu", "32-true")
    assert logger.level == level


def test_the_level_is_restored_by_several_threads(monkeypatch):
    logger = logging.getLogger("lightning_fabric")
    monkeypatch.setattr(logger, "level", logging.INFO)
    meeting = threading.Barrier(2)

    def slow_fabric(**arguments):
        # Both threads are here at once if they may be, and the second one leaves last.
        with suppress(threading.BrokenBarrierError):
            if meeting.wait(timeout=0.2) == 1:
                time.sleep(0.05)

    monkeypatch.setattr(_fabric, "Fabric", slow_fabric)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: make_fabric("cpu", "32-true"), range(2)))
    assert logger.level == logging.INFO


def process(rank, of):
    return SimpleNamespace(global_rank=rank, world_size=of, to_device=lambda batch: batch)


@pytest.mark.parametrize("n_rows, n_processes", [(8, 1), (8, 2), (7, 3), (1, 2), (2, 5), (3, 3)])
def test_processes_share_the_rows_of_a_batch(n_rows, n_processes):
    batch = torch.arange(n_rows), 10 * torch.arange(n_rows)
    shares = [take_share(process(rank, n_processes), batch) for rank in range(n_processes)]
    rows = [share[0].tolist() for share in shares]
    assert all(torch.equal(share[1], 10 * share[0]) for share in shares)
    assert {row for part in rows for row in part} == set(range(n_rows))
    # Each process has rows. If there are too few, some are shared; otherwise none is repeated.
    assert sum(map(len, rows)) == max(n_rows, n_processes)
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_numbers_of_a_step_depend_on_seed_step_and_process():
    def drawn(random_state, step, rank=0):
        fabric = SimpleNamespace(global_rank=rank, device=torch.device("cpu"))
        seed_step(fabric, random_state, step)
        return tuple(torch.rand(3).tolist())

    before = torch.get_rng_state()
    with own_randomness():
        cases = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0, 1), (2, 3, 4), (3, 2, 4)]
        assert len({drawn(*case) for case in cases}) == len(cases)
        assert drawn(0, 0) == drawn(0, 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("device, seeded", [("cpu", 0), ("cuda:1", 1)])
def test_a_step_seeds_the_gpu_in_use(monkeypatch, device, seeded):
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed", seeds.append)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", pytest.fail)
    with torch.random.fork_rng(devices=[]):
        seed_step(SimpleNamespace(global_rank=0, device=torch.device(device)), 3, 5)
        assert seeds == [torch.initial_seed()] * seeded
