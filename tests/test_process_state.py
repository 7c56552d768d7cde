"""Neither the import of the package nor a call changes a global state."""

import json
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from .process_state import differences, process_state
from .small_estimators import all_small_instances

SCRIPT = Path(__file__).with_name("process_state.py")
NAMES = [repr(estimator) for estimator in all_small_instances()]


def fresh_environment():
    """Return an environment without changes by the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture(scope="module")
def changes():
    """Return the global states that the import and each call change, by name."""
    run = [sys.executable, "-W", "ignore", SCRIPT]
    return json.loads(subprocess.check_output(run, env=fresh_environment(), text=True))


def test_import_changes_nothing_of_the_process(changes):
    assert changes["import"] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_call_changes_nothing_of_the_process(changes, name):
    assert changes[name] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_call_that_fails_changes_nothing_of_the_process(changes, name):
    assert changes[f"error of {name}"] == []


def test_import_does_not_load_matplotlib_or_start_threads():
    code = (
        "import stemkit, stemkit.inspection, stemkit.noise, stemkit.denoise, sys, threading\n"
        "assert 'matplotlib' not in sys.modules\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=fresh_environment())


def test_differences_are_detected():
    before = process_state()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(), np.errstate(all="raise"):
        patch.setenv("OMP_NUM_THREADS", "77")
        warnings.filterwarnings("ignore", "a message of no warning")
        state = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
        random.random()
        np.random.random()
        torch.rand(1)
        benchmark = torch.backends.cudnn.benchmark
        torch.set_default_dtype(torch.float64)
        torch.backends.cudnn.benchmark = not benchmark
        try:
            seen = differences(before, process_state())
        finally:
            random.setstate(state[0])
            np.random.set_state(state[1])
            torch.random.set_rng_state(state[2])
            torch.set_default_dtype(torch.float32)
            torch.backends.cudnn.benchmark = benchmark
    assert seen == [
        "numpy.geterr",
        "numpy.random",
        "os.environ",
        "random",
        "torch cudnn",
        "torch dtype",
        "torch.random",
        "warnings.filters",
    ]
    assert not differences(before, process_state())
