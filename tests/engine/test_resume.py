"""A fit that is killed and resumed gives bit for bit the result of an uninterrupted one."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from stemkit.engine import ArraySource, fit_module
from stemkit.engine._checkpoint import FILE, LOCK, CheckpointFolder

SCRIPT = Path(__file__).with_name("killed_fits.py")
CASES = re.findall(r'^    "(.+)": \[\(', SCRIPT.read_text(), flags=re.MULTILINE)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    subprocess.run([sys.executable, SCRIPT, folder], check=True, cwd=folder)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_killed_fit_ends_with_the_same_bits(results, case):
    signals = json.loads((results / case / "signals.json").read_text())
    assert signals
    assert set(signals) == {signal.SIGKILL}
    weights, expected = (
        torch.load(results / name / "weights.pt", weights_only=True) for name in (case, "never")
    )
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    history, expected = ((results / name / "history.json").read_text() for name in (case, "never"))
    assert history == expected


def test_nothing_but_a_checkpoint_and_its_lock_is_left(results):
    ours = {"weights.pt", "history.json", "signals.json"}
    for case in CASES:
        left = {path.name for path in (results / case).iterdir()} - ours
        assert left - {LOCK} == {FILE}


# The other tests run in this process, on a module with a single weight.


class Interrupted(Exception):
    pass


class Samples(ArraySource):
    """Ten numbers; can be made to stop the fit at a step."""

    def __init__(self, shift=0.0, stops_at=None):
        numbers = np.linspace(0, 1, 10, dtype=np.float32)[:, None] + np.float32(shift)
        super().__init__(numbers, 3 * numbers, batch_size=4)
        self.stops_at = stops_at
        self.asked = []

    def fingerprint(self):
        return {"arrays": self.arrays}

    def batch(self, step):
        self.asked.append(step)
        if step == self.stops_at:
            raise Interrupted
        return super().batch(step)


def squared_error(module, batch):
    return (module(batch[0]) - batch[1]).square().mean()


def linear(weight=1.0, bias=0.0):
    module = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(module.weight, weight)
    torch.nn.init.constant_(module.bias, bias)
    return module


def fit(folder, *, source=None, module=None, loss=squared_error, **changes):
    if module is None:
        module = linear()
    settings = {"max_steps": 12, "checkpoint_every": 2, "checkpoint_dir": folder, "device": "cpu"}
    result = fit_module(module, loss, source or Samples(), **settings | changes)
    return module, result


def weights_of(module):
    return torch.cat([weight.flatten() for weight in module.parameters()])


def test_finished_fit_is_not_done_again(tmp_path):
    module, result = fit(tmp_path)
    source = Samples()
    again, same = fit(tmp_path, source=source)
    assert torch.equal(weights_of(again), weights_of(module))
    assert same.history.equals(result.history)
    assert source.asked == [0]  # for the description of the data only


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def flip_a_bit_of_a_tensor(path):
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data/0"))
        tensor = archive.read(name)
    content = bytearray(path.read_bytes())
    content[content.index(tensor)] ^= 1
    path.write_bytes(content)


def write_garbage(path):
    path.write_bytes(b"PK not really")


def write_something_else(path):
    torch.save({"state_dict": {}}, path)


def write_a_list(path):
    torch.save([1, 2], path)


@pytest.mark.parametrize(
    "harm", [cut, empty, flip_a_bit_of_a_tensor, write_garbage, write_something_else, write_a_list]
)
def test_damaged_checkpoint_is_an_error_and_kept(tmp_path, harm):
    fit(tmp_path)
    harm(tmp_path / FILE)
    damaged = (tmp_path / FILE).read_bytes()
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged\. Remove it to fit from"):
        fit(tmp_path)
    assert (tmp_path / FILE).read_bytes() == damaged


def test_a_wrong_byte_is_harmless_or_an_error(tmp_path):
    folder = CheckpointFolder(tmp_path, {})
    folder.save(1, {"state": torch.ones(2)})
    path = tmp_path / FILE
    whole = path.read_bytes()
    messages = []
    for place in range(0, len(whole), 3):
        content = bytearray(whole)
        content[place] ^= 0xFF
        path.write_bytes(content)
        try:
            assert torch.equal(folder.load()["state"], torch.ones(2))
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 200
    assert all("is damaged" in message for message in messages)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"lr": 0.5}, "lr is 0.001, here it is 0.5"),
        ({"fingerprint": {"flip": False}}, "flip is absent, here it is False"),
        ({"loss": lambda module, batch: module(batch[0]).square().mean()}, "loss function"),
        ({"max_steps": 13}, "max_steps is 12"),
        ({"random_state": 1}, "random_state"),
        ({"source": Samples(shift=0.01)}, "training data"),
        ({"module": torch.nn.Sequential(torch.nn.Linear(1, 1))}, "module"),
        ({"module": linear(weight=1.001)}, "module.weights"),
        ({"module": linear(weight=-1.0)}, "module.weights"),
        ({"module": linear(weight=0.0, bias=1.0)}, "module.weights"),
    ],
)
def test_checkpoint_of_another_fit_is_an_error(tmp_path, changes, named):
    fit(tmp_path)
    with pytest.raises(ValueError, match=f"is of another fit: its {named}"):
        fit(tmp_path, **changes)


def test_checkpoint_of_an_earlier_layout_is_an_error(tmp_path):
    (tmp_path / "checkpoint_b.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"checkpoint_b\.pt is of an earlier version"):
        fit(tmp_path)


def rewrite(path, **changes):
    found = torch.load(path, weights_only=True)
    torch.save(found | changes, path)
    return found


def test_checkpoint_of_another_version_warns(tmp_path):
    expected, _ = fit(tmp_path)
    found = rewrite(tmp_path / FILE, version="0.0.9")
    with pytest.warns(UserWarning, match=r"written by stemkit 0\.0\.9, this is"):
        module, _ = fit(tmp_path)
    assert torch.equal(weights_of(module), weights_of(expected))
    # parameters that one of the versions lacks are not compared, all others are
    fingerprint = {**found["fingerprint"], "removed": "1"}
    del fingerprint["patience"]
    rewrite(tmp_path / FILE, version="0.0.9", fingerprint=fingerprint)
    with pytest.warns(UserWarning, match="written by stemkit"):
        fit(tmp_path)
    with (
        pytest.raises(ValueError, match="its lr is"),
        pytest.warns(UserWarning, match="written by stemkit"),
    ):
        fit(tmp_path, lr=0.5)
    rewrite(tmp_path / FILE, fingerprint=fingerprint, version=found["version"])
    with pytest.raises(ValueError, match=r"patience is absent, here it is None; its removed is 1"):
        fit(tmp_path)


def _without(name):
    return lambda part: {key: value for key, value in part.items() if key != name}


@pytest.mark.parametrize(
    "name, change",
    [
        *[(name, lambda part: None) for name in ("fingerprint", "version")],
        *[(name, lambda part: 3) for name in ("module", "optimizer", "state", "fingerprint")],
        *[(name, lambda part: {}) for name in ("module", "optimizer")],
        ("state", lambda part: part | {"unknown": 1}),
        ("state", lambda part: part | {"step": "4"}),
        ("state", lambda part: part | {"step": -1}),
        ("state", lambda part: part | {"step": 3}),
        ("state", lambda part: part | {"losses": [1, 2]}),
        ("state", lambda part: part | {"seconds": "long"}),
        ("state", lambda part: part | {"rows": None}),
        ("state", lambda part: part | {"rows": [{}]}),
        ("state", lambda part: part | {"best_epoch": 99}),
        ("optimizer", _without("state")),
        ("optimizer", lambda part: part | {"param_groups": []}),
        ("optimizer", lambda part: part | {"state": {0: {"exp_avg": torch.ones(3)}}}),
        (
            "optimizer",
            lambda part: part | {"param_groups": [_without("betas")(part["param_groups"][0])]},
        ),
    ],
)
def test_an_edited_checkpoint_is_an_error_that_names_it(tmp_path, name, change):
    fit(tmp_path)
    found = torch.load(tmp_path / FILE, weights_only=True)
    rewrite(tmp_path / FILE, **{name: change(found[name])})
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged\. Remove it to fit from"):
        fit(tmp_path)


@pytest.mark.parametrize("name", ["module", "optimizer", "state"])
def test_a_checkpoint_without_a_part_is_an_error_that_names_it(tmp_path, name):
    fit(tmp_path)
    torch.save(_without(name)(torch.load(tmp_path / FILE, weights_only=True)), tmp_path / FILE)
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged\. Remove it to fit from"):
        fit(tmp_path)


def test_full_disk_leaves_the_checkpoints_before(tmp_path, monkeypatch):
    expected, _ = fit(tmp_path / "unbroken")
    room = iter([True, True, False])
    plain_fsync = os.fsync

    def fsync(descriptor):
        # folders are synced too, but only files need disk space
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and not next(room):
            raise OSError(28, "No space left on device")
        plain_fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match=r"checkpoint\.pt .*No space left .*left as it was"):
            fit(tmp_path / "full")
    assert {path.name for path in (tmp_path / "full").iterdir()} - {LOCK} == {FILE}
    source = Samples()
    module, _ = fit(tmp_path / "full", source=source)
    assert source.asked[1] == 4
    assert torch.equal(weights_of(module), weights_of(expected))


def test_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    content = {"fingerprint": {}, "version": "", "step": 1, "evil": Evil()}
    torch.save(content, tmp_path / FILE)
    with pytest.raises(ValueError, match="damaged"):
        fit(tmp_path)
    assert not (tmp_path / "ran").exists()
