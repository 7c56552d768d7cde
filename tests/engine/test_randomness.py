"""Torch's global random numbers: used by one thread at a time, and left as they were."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed

from stemkit.denoise import NetworkDenoiser
from stemkit.engine import StreamSource, fit_module
from stemkit.engine._randomness import own_randomness


@pytest.mark.parametrize("device, saved", [("cpu", []), ("cuda:1", [torch.device("cuda", 1)])])
def test_only_the_device_in_use_has_its_random_state_saved(monkeypatch, device, saved):
    # Saving the states of all GPUs would initialise all of them.
    recorded = []

    @contextmanager
    def fork_rng(devices=None):
        recorded.append(devices)
        yield

    monkeypatch.setattr(torch.random, "fork_rng", fork_rng)
    with own_randomness(torch.device(device)):
        assert recorded == [saved]


def test_threads_draw_one_after_another_and_a_thread_may_ask_again():
    def draw(seed):
        with own_randomness(seed=seed):
            first = torch.rand(3)
            with own_randomness(seed=0):
                torch.rand(5)
            threading.Event().wait(0.001)  # lets other threads in, if they may
            return torch.cat([first, torch.rand(3)]).tolist()

    before = torch.get_rng_state()
    seeds = [3, 4] * 10
    expected = [draw(seed) for seed in seeds]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(draw, seeds)) == expected
    assert torch.equal(torch.get_rng_state(), before)


def test_kept_states_are_continued_also_after_an_error():
    with own_randomness(seed=1):
        expected = torch.rand(6)
    kept = {}
    before = torch.get_rng_state()
    with suppress(ZeroDivisionError), own_randomness(seed=1, kept=kept):
        first = torch.rand(3)
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), before)
    torch.random.seed()
    with own_randomness(kept=kept):
        assert torch.equal(torch.cat([first, torch.rand(3)]), expected)
    torch.set_rng_state(before)


class Dropping(torch.nn.Sequential):
    def __init__(self):
        super().__init__(
            torch.nn.Conv2d(1, 4, 3, padding=1),
            torch.nn.Dropout(),
            torch.nn.Conv2d(4, 1, 3, padding=1),
        )


def add_noise(frames, generator):
    return frames + torch.randn_like(frames)  # of the global generator


def fitted_weights(seed):
    X = np.random.default_rng(0).normal(50, 9, (6, 16, 16))
    settings = {"max_epochs": 8, "batch_size": 1, "device": "cpu", "random_state": seed}
    model = NetworkDenoiser(network=Dropping, noise=add_noise, **settings).fit(X)
    return [weights.numpy() for weights in model.module_.state_dict().values()]


def test_fits_in_threads_equal_fits_one_after_another():
    before = torch.get_rng_state()
    seeds = [1, 2, 1, 2]
    expected = [fitted_weights(seed) for seed in seeds]
    found = Parallel(n_jobs=4, backend="threading")(delayed(fitted_weights)(s) for s in seeds)
    for one, other in zip(found, expected, strict=True):
        for weights, others in zip(one, other, strict=True):
            np.testing.assert_array_equal(weights, others)
    assert any((one != two).any() for one, two in zip(*expected[:2], strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_another_thread_need_not_wait_for_the_end_of_a_fit():
    waiting, drawn, steps = threading.Event(), threading.Event(), []

    def loss(module, batch):
        return module(batch[0]).square().mean()

    def make_batch(generator):
        steps.append(drawn.is_set())
        waiting.set()
        drawn.wait(0.01)  # time for the other thread to get in line
        return (generator.random((2, 1), dtype=np.float32),)

    def draw():
        waiting.wait(10)
        with own_randomness(seed=0):
            drawn.set()

    source = StreamSource(make_batch, steps_per_epoch=200)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(draw)
        fit_module(torch.nn.Linear(1, 1), loss, source, max_steps=200, device="cpu")
    assert steps[-1]


def test_batches_of_a_stream_that_ignores_its_generator_differ_from_step_to_step():
    seen = []

    def loss(module, batch):
        seen.append(batch[0].tolist())
        return module(batch[0]).square().mean()

    source = StreamSource(lambda generator: (torch.rand(2, 1),), steps_per_epoch=2)
    module = torch.nn.Linear(1, 1)
    before = torch.get_rng_state()
    fit_module(module, loss, source, max_steps=5, device="cpu")
    assert len({str(batch) for batch in seen}) == 5
    assert torch.equal(torch.get_rng_state(), before)
