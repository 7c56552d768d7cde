"""The package changes nothing process-wide: not by its import, not by a call."""

import random
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from stemkit import DriftDecayModel
from stemkit.utils import all_estimators

from .process_state import differences, process_state
from .small_estimators import small_instances

INSTANCES = [estimator for _, cls in all_estimators() for estimator in small_instances(cls)]


X = np.random.default_rng(0).uniform(50, 100, (4, 24, 24)).astype(np.float32)
X[:, 8:13, 8:13] += 100


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", INSTANCES, ids=repr)
def test_a_call_changes_nothing_of_the_process(estimator):
    before = process_state()
    estimator.fit(X, X)
    assert not differences(before, process_state())
    if isinstance(estimator, DriftDecayModel):
        estimator.predict(X[:2])
        estimator.analyze(X)
    elif hasattr(estimator, "transform"):
        estimator.transform(X)
    else:
        estimator.predict(X)
    assert not differences(before, process_state())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", INSTANCES, ids=repr)
def test_a_call_that_fails_changes_nothing_of_the_process(estimator):
    before = process_state()
    with pytest.raises(ValueError, match=r"NaN|finite"):
        estimator.fit(X * np.nan, X)
    assert not differences(before, process_state())


IMPORT = """
import importlib, pkgutil, sys
import {imported_before}
sys.path.insert(0, {tests!r})
from process_state import differences, process_state
before = process_state()
import stemkit
for module in pkgutil.walk_packages(stemkit.__path__, "stemkit."):
    if "__main__" not in module.name:
        importlib.import_module(module.name)
for name in stemkit.__all__:
    getattr(stemkit, name)
assert not (found := differences(before, process_state())), found
"""
# Packages that change settings when they are imported.
IMPORTED_BEFORE = "lightning_fabric, pooch, skimage.io, sklearn.ensemble, torch"


def test_import_of_all_modules_changes_nothing_of_the_process():
    code = IMPORT.format(imported_before=IMPORTED_BEFORE, tests=str(Path(__file__).parent))
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_does_not_load_matplotlib_or_start_threads():
    code = (
        "import stemkit, stemkit.inspection, stemkit.noise, stemkit.denoise, sys, threading\n"
        "assert 'matplotlib' not in sys.modules\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_differences_are_seen():
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
    assert seen.keys() == {
        "numpy.geterr",
        "numpy.random",
        "os.environ",
        "random",
        "torch cudnn",
        "torch dtype",
        "torch.random",
        "warnings.filters",
    }
    assert not differences(before, process_state())
