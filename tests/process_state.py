"""What all code of a process shares: settings and random states."""

import os
import random
import signal
import sys
import warnings

import numpy as np
import torch


def process_state():
    """Return all settings and random states that the whole process shares, by name."""
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
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}
