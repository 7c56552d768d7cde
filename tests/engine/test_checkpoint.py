"""One fit at a time uses a folder of checkpoints."""

import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

from stemkit.engine import ArraySource, fit_module
from stemkit.engine._checkpoint import FILE, LOCK, CheckpointFolder, _show

NUMBERS = np.linspace(0, 1, 8, dtype=np.float32)[:, None]

# A fit that waits at its third step until it can read a line.
WAITING_FIT = """
import sys
import numpy as np, torch
from stemkit.engine import ArraySource, fit_module

class Waiting(ArraySource):
    def batch(self, step):
        if step == 2:
            print("fitting", flush=True)
            sys.stdin.readline()
        return super().batch(step)

    def fingerprint(self):
        return {}

numbers = np.linspace(0, 1, 8, dtype=np.float32)[:, None]
loss = lambda module, batch: (module(batch[0]) - batch[1]).square().mean()
source = Waiting(numbers, numbers, batch_size=4)
fit_module(torch.nn.Linear(1, 1), loss, source, max_steps=4, checkpoint_dir=sys.argv[1],
           checkpoint_every=1, device="cpu")
"""


def squared_error(module, batch):
    return (module(batch[0]) - batch[1]).square().mean()


def fit(folder, loss=squared_error):
    module = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(module.weight, 1.0)
    torch.nn.init.constant_(module.bias, 0.0)
    source = ArraySource(NUMBERS, 3 * NUMBERS, batch_size=4)
    return fit_module(module, loss, source, max_steps=4, checkpoint_dir=folder, device="cpu")


@pytest.fixture
def waiting_fit(tmp_path):
    """A fit of another process in `tmp_path`, stopped between two steps."""
    path = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING_FIT, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    with process:
        try:
            assert process.stdout.readline() == "fitting\n"
            yield process
        finally:
            process.kill()


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def test_a_fit_in_the_folder_of_another_process_is_an_error(waiting_fit, tmp_path):
    before = (tmp_path / FILE).read_bytes()
    holder = rf"process {waiting_fit.pid} on {socket.gethostname()}"
    with pytest.raises(
        ValueError, match=rf"{tmp_path} is in use by another fit \({holder}\): wait"
    ):
        fit(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    # The error does not affect the fit in progress.
    waiting_fit.communicate("go on\n")
    assert waiting_fit.returncode == 0
    assert (tmp_path / FILE).read_bytes() != before
    with pytest.raises(ValueError, match="is of another fit"):
        fit(tmp_path)


def test_a_fit_inside_another_one_is_an_error(tmp_path):
    seen = []

    def loss_that_fits(module, batch):
        with pytest.raises(ValueError, match=rf"in use by another fit \(process {os.getpid()} on"):
            fit(tmp_path)
        seen.append(fit(tmp_path / "another").n_steps)
        return squared_error(module, batch)

    assert fit(tmp_path, loss=loss_that_fits).n_steps == 4
    assert seen == [4] * 4


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_the_lock_of_a_killed_process_does_not_block(waiting_fit, tmp_path):
    waiting_fit.kill()
    waiting_fit.wait()
    assert waiting_fit.returncode == -signal.SIGKILL
    assert {LOCK, "checkpoint.holder"} < names_in(tmp_path)
    (tmp_path / FILE).unlink()
    assert fit(tmp_path).n_steps == 4
    assert names_in(tmp_path) - {LOCK} == {FILE}


class Broken(Exception):
    pass


def raises(module, batch):
    raise Broken


@pytest.mark.parametrize("error", [Broken, KeyboardInterrupt, FloatingPointError])
def test_the_lock_is_released_after_an_error(tmp_path, error):
    def loss(module, batch):
        if error is FloatingPointError:
            return squared_error(module, batch) * np.nan
        raise error

    for _ in range(2):
        with pytest.raises(error):
            fit(tmp_path, loss=loss)
    assert names_in(tmp_path) <= {LOCK}
    assert fit(tmp_path).n_steps == 4


def test_the_lock_is_released_if_the_checkpoint_is_of_another_fit(tmp_path):
    fit(tmp_path)
    for _ in range(2):
        with pytest.raises(ValueError, match="is of another fit"):
            fit(tmp_path, loss=raises)
    assert fit(tmp_path).n_steps == 4


def test_the_lock_can_be_taken_again(tmp_path):
    folder = CheckpointFolder(tmp_path / "new" / "folder", {})
    for _ in range(2):
        with folder, pytest.raises(ValueError, match="in use"), CheckpointFolder(folder.folder, {}):
            pass
        with CheckpointFolder(folder.folder, {}):  # while the first object still exists
            pass


def test_an_error_without_a_named_holder_is_still_clear(tmp_path):
    with CheckpointFolder(tmp_path, {}):
        (tmp_path / "checkpoint.holder").unlink()
        with pytest.raises(ValueError, match=r"in use by another fit: wait"):
            CheckpointFolder(tmp_path, {}).__enter__()


def test_an_error_names_two_differences_and_counts_the_others(tmp_path):
    names = ("first", "second", "third", "fourth", "fifth")
    with CheckpointFolder(tmp_path, dict.fromkeys(names, "1")) as folder:
        folder.save(1, {})
    for n_changed, end in [
        (1, ""),
        (2, ""),
        (3, "; and 1 more differ"),
        (5, "; and 3 more differ"),
    ]:
        changed = {name: "2" if i < n_changed else "1" for i, name in enumerate(names)}
        listed = "; ".join(f"its {name} is 1, here it is 2" for name in names[: min(n_changed, 2)])
        with pytest.raises(ValueError, match=rf"of another fit: {listed}{end}\."):
            CheckpointFolder(tmp_path, changed).load()


@pytest.mark.parametrize("length", [1, 79, 80, 81, 82, 200])
def test_long_values_are_shortened_to_80_characters(length):
    value = "".join(chr(ord("a") + i % 26) for i in range(length))
    shown = _show(value)
    assert len(shown) == min(length, 80)
    assert shown == value or (shown.endswith("...") and value.startswith(shown[:-3]))
    assert _show(None) == "absent"
