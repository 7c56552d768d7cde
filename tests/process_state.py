"""Print which global states importing stemkit and calling its estimators change.

test_process_state.py runs this in a new process, since tests change global states themselves. The
output is JSON: for each step the names of the changed states.
"""

import importlib
import json
import os
import pkgutil
import random
import signal
import sys
import warnings

import lightning_fabric  # noqa: F401  it sets filters of warnings, as do those below
import numpy as np
import pooch  # noqa: F401
import skimage.io  # noqa: F401
import sklearn.ensemble  # noqa: F401
import torch
import torch._dynamo  # torch sets variables of the environment when it is first needed


def process_state():
    """Return all global settings and random states, by name."""
    numpy_state = np.random.get_state(legacy=False)
    backends = torch.backends
    return {
        "os.environ": dict(os.environ),
        "working directory": os.getcwd(),
        "sys.path": list(sys.path),
        "warnings.filters": list(warnings.filters),
        "warnings.showwarning": warnings.showwarning,
        "random": random.getstate(),
        "numpy.random": (numpy_state["state"]["key"].tobytes(), numpy_state["state"]["pos"]),
        "numpy.random normal": (numpy_state["has_gauss"], numpy_state["gauss"]),
        "torch.random": torch.random.get_rng_state().numpy().tobytes(),
        "numpy.geterr": np.geterr(),
        "numpy.get_printoptions": np.get_printoptions(),
        "torch threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch dtype": torch.get_default_dtype(),
        "torch device": torch.get_default_device(),
        "torch gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "torch autocast": torch.is_autocast_enabled("cpu"),
        "torch deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
        ),
        "torch cudnn": (
            backends.cudnn.enabled,
            backends.cudnn.benchmark,
            backends.cudnn.deterministic,
            backends.cudnn.allow_tf32,
        ),
        "torch matmul": (
            torch.get_float32_matmul_precision(),
            backends.cuda.matmul.allow_tf32,
        ),
        "torch mkldnn": backends.mkldnn.enabled,
        "torch denormal numbers": float(torch.full((), 1e-30, dtype=torch.float32) * 1e-10),
        "signals": [signal.getsignal(number) for number in (2, 15)],
        "recursion limit": sys.getrecursionlimit(),
        "exception hook": sys.excepthook,
    }


def differences(before, after):
    return sorted(name for name in before if before[name] != after[name])


def import_all():
    import stemkit

    for module in pkgutil.walk_packages(stemkit.__path__, "stemkit."):
        if "__main__" not in module.name:
            importlib.import_module(module.name)
    for name in stemkit.__all__:
        getattr(stemkit, name)


def call(estimator):
    """Fit a small estimator and use it."""
    X = np.random.default_rng(0).uniform(50, 100, (4, 24, 24)).astype(np.float32)
    X[:, 8:13, 8:13] += 100
    estimator.fit(X, X)
    if hasattr(estimator, "analyze"):
        estimator.predict(X[:2])
        estimator.analyze(X)
    elif hasattr(estimator, "transform"):
        estimator.transform(X)
    else:
        estimator.predict(X)


def call_in_vain(estimator):
    """Fit frames of NaN, which raises an error."""
    try:
        estimator.fit(np.full((4, 24, 24), np.inf), np.zeros((4, 24, 24)))
    except ValueError:
        return
    raise AssertionError("frames of infinity were fitted")


def main():
    found = {}

    def run(name, step, *arguments):
        step(*arguments)
        found[name] = differences(before, process_state())

    before = process_state()
    run("import", import_all)
    # This import fits the network that some small estimators use.
    from small_estimators import all_small_instances

    for estimator in all_small_instances():
        run(repr(estimator), call, estimator)
        run(f"error of {estimator!r}", call_in_vain, estimator)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
