"""A sample of the fuzzer, and tests of the fuzzer itself. ``make fuzz`` runs 10,000 calls."""

import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.validation import check_is_fitted

from stemkit._validation import check_frames
from stemkit.denoise import GaussianDenoiser
from stemkit.io import read_stack

from . import calls, fuzzer, outcomes


@pytest.fixture(scope="module")
def files():
    with fuzzer._surroundings() as files:
        yield files


# Frames of random numbers have no resolution.
@pytest.mark.filterwarnings("ignore::stemkit.exceptions.ResolutionWarning")
@pytest.mark.parametrize("name", calls.public_functions())
def test_every_function_has_arguments_that_it_takes(name, files):
    function = calls.public_functions()[name]
    positional, by_name = calls._positional(function, calls.good_arguments(function, name, files))
    function(*positional, **by_name)


@pytest.mark.parametrize(
    "call, kind",
    [
        (lambda: check_frames("x"), outcomes.NAMED),
        (lambda: GaussianDenoiser(sigma=-1).fit(np.ones((1, 4, 4))), outcomes.NAMED),
        (lambda: check_is_fitted(GaussianDenoiser()), outcomes.NAMED),
        (lambda: read_stack("nowhere.tif"), outcomes.NAMED),
        (lambda: float("X"), outcomes.FOREIGN),  # not raised by stemkit, although it names X
        (lambda: [][0], outcomes.FOREIGN),
        (lambda: torch.ones(2) @ torch.ones(3), outcomes.FOREIGN),
        (lambda: np.ones(2) @ np.ones(3), outcomes.FOREIGN),
        (lambda: Path("nowhere.tif").read_text(), outcomes.NAMED),
        (
            lambda: Path("elsewhere.npy").read_text(),
            outcomes.FOREIGN,
        ),  # the file is not an argument
        (lambda: None, outcomes.FINITE),
        (lambda: [{"a": (1.0, np.ones(2))}], outcomes.FINITE),
        (lambda: [{"a": (1.0, np.array([1, math.inf]))}], outcomes.NOT_FINITE),
        (lambda: torch.tensor(math.nan), outcomes.NOT_FINITE),
        (lambda: time.sleep(9), outcomes.TIMEOUT),
    ],
)
def test_outcomes_are_told_apart(call, kind, files):
    assert outcomes.run(call, {"X", "sigma", "nowhere"}, seconds=2.0).kind == kind


def test_a_call_depends_on_seed_and_index_alone():
    with fuzzer._surroundings() as one, fuzzer._surroundings() as other:
        for index in range(60):
            made, again = (calls.make_call(5, index, at).text for at in (one, other))
            assert made.replace(str(one.folder), "") == again.replace(str(other.folder), "")


def test_every_public_name_is_called():
    with fuzzer._surroundings() as files:
        assert {calls.make_call(0, i, files).name for i in range(400)} >= set(calls.public_names())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_sample_of_calls_shows_no_faults(seed):
    _, findings = fuzzer.fuzz(seed, range(1500))
    assert not findings, "\n".join(map(str, findings))
