"""Functions and classes are described by their code and what it uses."""

import decimal
import functools
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import numpy as np

from stemkit.engine import _fingerprint as fingerprint
from stemkit.noise import HRTEMNoise

from . import described
from .described import (
    TABLE,
    Plain,
    Powered,
    Settings,
    calls_another,
    closure,
    of,
    uses_global,
    uses_global_in_inner_function,
    uses_table,
)


def test_globals_that_a_function_uses_are_compared(monkeypatch):
    functions = [uses_global, uses_global_in_inner_function, calls_another, uses_table]
    before = [of(function) for function in functions]
    monkeypatch.setattr(described, "GAIN", 3.0)
    assert [of(function) == old for function, old in zip(functions, before, strict=True)] == [
        False,
        False,
        False,
        True,
    ]
    monkeypatch.setitem(TABLE, "gain", [1.0, 3.0])
    assert of(uses_table) != before[-1]


def test_a_decorated_function_is_described_by_its_own_code():
    def decorated(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)

        return wrapper

    assert of(decorated(closure(1.0))) != of(decorated(closure(2.0)))
    assert of(functools.lru_cache(closure(1.0))) != of(functools.lru_cache(closure(2.0)))


def test_code_of_installed_packages_is_not_compared():
    # Their functions are described by name, since most changes between versions affect no result.
    for function in (json.dumps, np.mean, HRTEMNoise.fit, functools.wraps):
        assert fingerprint._is_installed(function)
        assert not any(key.endswith("code") for key in of(function))
    for cls in (decimal.Decimal, np.ndarray, HRTEMNoise, int):
        assert fingerprint._is_installed(cls)
        assert "x.code" not in of(cls)
    assert fingerprint._is_installed(SimpleNamespace(__module__=None))
    for own in (uses_global, closure(1.0), Plain, Settings):
        assert not fingerprint._is_installed(own)
    assert "x.code" in of(uses_global)


SCRIPT = """
import functools, json
import numpy as np
import torch
from stemkit.engine._fingerprint import describe
from stemkit.noise import HRTEMNoise

UNITS = {"nm", "pm", "mm", "um", "m"}

class Noise:
    names = ("a", "b")
    def __init__(self):
        self.known = {"first", "second", "third", "fourth"}
        self.parts = frozenset({Noise, HRTEMNoise, len})
    def __call__(self, frames, unit="nm"):
        return frames if unit in {"nm", "pm", "mm", "um"} else [unit in UNITS for _ in frames]

noise = Noise()
values = {
    "object": noise,
    "function": lambda unit: unit in {"nm", "pm", "um"},
    "partial": functools.partial(noise.__call__, unit="pm"),
    "set of tuples": lambda unit: unit in {("nm", "pm"), ("um", "mm"), ("km",)},
    "module": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ReLU()),
    "generator": np.random.default_rng(0),
    "array": np.arange(3.0),
    "estimator": HRTEMNoise(random_state=0),
    "bare object": object(),
    "iterator": iter([1]),
}
print(json.dumps(describe(values)))
"""


def test_another_process_describes_alike(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    outputs = []
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        outputs.append(subprocess.check_output([sys.executable, script], env=environment))
    assert len(set(outputs)) == 1
    found = json.loads(outputs[0])
    assert not [value for value in found.values() if re.search(r"0x[0-9a-f]{6}", value)]


def test_globals_that_methods_use_are_compared(monkeypatch):
    for thing in (Powered, Powered()):
        before = of(thing)
        assert of(thing) == before
        with monkeypatch.context() as patch:
            patch.setattr(described, "GAIN", 3.0)
            assert of(thing) != before
        with monkeypatch.context() as patch:
            patch.setattr(described, "uses_global", uses_table)
            assert of(thing) != before
        assert of(thing) == before


def test_members_of_the_users_modules_that_a_function_uses_are_compared(tmp_path, monkeypatch):
    content = "POWER = 2\n\ndef lossf(x):\n    return x ** POWER\n"
    (tmp_path / "users_helpers.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    helpers = import_module("users_helpers")
    monkeypatch.setitem(globals(), "users_helpers", helpers)

    def by_global(outputs, targets):
        return users_helpers.lossf(outputs - targets)  # noqa: F821

    def by_closure(outputs, targets):
        return helpers.lossf(outputs - targets)

    for loss in (by_global, by_closure):
        before = of(loss)
        with monkeypatch.context() as patch:
            patch.setattr(helpers, "POWER", 3)
            assert of(loss) != before
        assert of(loss) == before
        with monkeypatch.context() as patch:
            patch.setattr(helpers, "lossf", lambda x: abs(x))
            assert of(loss) != before
