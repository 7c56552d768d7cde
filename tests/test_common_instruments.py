"""The contract on frames as instruments record them: right, or a named warning or error."""

import importlib.util
import sys
import warnings
from pathlib import Path

import pytest

from stemkit.exceptions import LatticePriorWarning

FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "_instruments.py"
SPEC = importlib.util.spec_from_file_location("_instruments", FILE)
instruments = importlib.util.module_from_spec(SPEC)
sys.modules["_instruments"] = instruments  # dataclasses look their module up
SPEC.loader.exec_module(instruments)

# Trainings and slow searches are left to the benchmark, which runs the whole table.
TASKS = [
    "DriftDecayModel",
    "register",
    "SCGNDenoiser",
    "PINNEDDenoiser",
    "GaussianDenoiser",
    "LoGRenderDenoiser",
    "blind_spot_scorer",
    "HRTEMNoise",
]
# One fault of each kind for the slow ones.
SLOW = {"AtomLocator": ["stuck at 65535", "hot column", "gain step", "dark contrast", "masked"]}
CELLS = [(task, fault) for task in TASKS for fault in instruments.FAULTS]
CELLS += [(task, fault) for task, faults in SLOW.items() for fault in faults]


@pytest.mark.parametrize("task", [*TASKS, *SLOW])
def test_clean_frames_raise_no_warning(task):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", LatticePriorWarning)
        found = instruments.TASKS[task].answer(instruments.TASKS[task].clean(), "")
    # The answers are good enough for their loss to be noticed.
    for name, least in {"drift": -0.2, "F1": 0.9, "correlation": 0.85, "gain": -0.1}.items():
        assert found.get(name, 1) > least


@pytest.mark.parametrize("task, fault", CELLS)
def test_nothing_is_wrong_in_silence(task, fault):
    outcome, detail = instruments.run_cell(task, fault)
    assert outcome != "wrong", detail
    if instruments.FAULTS[fault].mended:
        assert outcome == "right", detail
