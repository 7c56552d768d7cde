"""Fits that are killed and started again, run by test_resume.py as a process of its own.

Each fit is a fork, made before torch starts any thread, so that torch is loaded only once. The
argument is a folder, in which each case leaves its weights and history.
"""

import builtins
import io
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from stemkit.engine import ArraySource, StreamSource, fit_module

MAX_STEPS = 30

# When each process of a case is killed; after the last kill one runs to the end.
CASES = {
    "never": [],
    "at the first step": [("step", 0)],
    "before the first checkpoint": [("step", 3)],
    "right after a checkpoint": [("step", 4)],
    "in the midst of an epoch": [("step", 13)],
    "after the best epoch": [("step", 22)],
    "at the last step": [("step", MAX_STEPS - 1)],
    "three times": [("step", 6), ("step", 7), ("step", 17)],
    "while writing the first checkpoint": [("write", 1)],
    "while writing the third checkpoint": [("write", 3)],
    "while writing the last checkpoint, after a restart": [("step", 10), ("write", 6)],
    "before a checkpoint gets its name": [("rename", 2)],
}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class DyingFile(io.FileIO):
    """Writes half of its input, and then kills the process."""

    def write(self, content):
        super().write(memoryview(content)[: len(content) // 2])
        die()


def die_at(what, number):
    """Replace open or os.replace by one that kills the process at its nth call for a checkpoint."""
    counter = iter(range(1, 1000))
    plain_open, plain_replace = builtins.open, os.replace

    def dying_open(path, mode="r", *args, **kwargs):
        is_checkpoint = mode == "wb" and "checkpoint" in str(path)
        if is_checkpoint and next(counter) == number:
            return DyingFile(path, "w")
        return plain_open(path, mode, *args, **kwargs)

    def dying_replace(source, target):
        if next(counter) == number:
            die()
        plain_replace(source, target)

    if what == "write":
        builtins.open = dying_open
    elif what == "rename":
        os.replace = dying_replace


def build_module():
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.3),
        torch.nn.Conv2d(4, 1, 3, padding=1),
    )
    with torch.no_grad():
        for number, weight in enumerate(module.parameters()):
            ramp = torch.linspace(-0.2, 0.3, weight.numel()) + number / 50
            weight.copy_(ramp.view_as(weight))
    return module


def loss(module, batch):
    noisy, clean = batch
    error = (module(noisy) - clean).square().mean()
    return {"loss": error, "root": error.sqrt()}


def make_batch(generator):
    clean = generator.random((6, 1, 8, 8), dtype=np.float32)
    return clean + generator.normal(0, 0.1, clean.shape), clean


class DyingStream(StreamSource):
    dies_at = None
    n_asked = 0

    def fingerprint(self):
        return {"make_batch": self.make_batch, "random_state": self.random_state}

    def batch(self, step):
        self.n_asked += 1
        # the first request is for the description of the data, before the fit
        if step == self.dies_at and self.n_asked > 1:
            die()
        return super().batch(step)


def fit(checkpoint_dir, kill):
    torch.manual_seed(int.from_bytes(os.urandom(4), "little"))  # must not matter
    source = DyingStream(make_batch, steps_per_epoch=7, random_state=1)
    if kill is not None:
        what, number = kill
        if what == "step":
            source.dies_at = number
        else:
            die_at(what, number)
    held_out = np.random.default_rng(3).random((5, 1, 8, 8), dtype=np.float32)
    module = build_module()
    result = fit_module(
        module,
        loss,
        source,
        validation=ArraySource(held_out, held_out, batch_size=2),
        max_steps=MAX_STEPS,
        lr=0.03,
        weight_decay=0.01,
        warmup_steps=5,
        checkpoint_dir=checkpoint_dir,
        checkpoint_every=4,
        device="cpu",
    )
    return module, result


def in_a_fork(function):
    """Run a function in a child process; return the signal that ended it, or 0."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("a fit failed; its error is above")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def run_case(folder, kills):
    folder.mkdir()

    def finish():
        module, result = fit(folder, None)
        torch.save(module.state_dict(), folder / "weights.pt")
        result.history.drop(columns="seconds").to_json(folder / "history.json", double_precision=15)

    signals = [in_a_fork(lambda kill=kill: fit(folder, kill)) for kill in kills]
    in_a_fork(finish)
    (folder / "signals.json").write_text(json.dumps(signals))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, kills in CASES.items():
        run_case(Path(sys.argv[1], name), kills)
