"""Declared constraints: accepted values, and the content of errors."""

from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator

from stemkit._constraints import (
    Function,
    HasMethods,
    Interval,
    Options,
    Sequence,
    check_arguments,
    check_parameters,
    check_value,
    only,
    shorten,
    without,
)
from stemkit.exceptions import InvalidParameterError

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "constraint, good, bad",
    [
        (
            Interval(int, 1, None),
            [1, np.int8(3), 2**63 - 1],
            [2**63, 10**30, 10**400, 0, 1.0, True, "1", None, np.bool_(1)],
        ),
        (
            Interval(float, 0, None),
            [0, 0.5, np.float32(2)],
            [Fraction(1, 2), -1e-9, NAN, INF, 1j, "0", True],
        ),
        (Interval(float, 0, 1, closed="neither"), [0.5], [0, 1]),
        (Interval(float, 0, 1, closed="left"), [0], [1]),
        (Interval(float, 0, 1, closed="right"), [1], [0]),
        (Interval(float, None, None), [-1e300, 0], [INF, -INF, NAN]),
        (Options("a", "b"), ["a"], ["c", None, np.array(["a"]), ["a"], 1]),
        (HasMethods("fit"), [type("E", (), {"fit": print})()], [3, type]),
        (Sequence(Interval(int, 1, None), 2), [(1, 2), [3, 4], np.array([1, 2])], [(1,), 5, "ab"]),
        (Sequence(Interval(float, 0, None)), [[0.5]], [[], [-1], np.ones((2, 2))]),
        (
            Function("a", "b", c="c"),
            [lambda *a, **b: 0, lambda a, b, c: 0, lambda a, b, *, c: 0],
            [lambda a, c: 0, lambda a, b: 0, lambda a, b, d: 0, int, torch.nn.Identity, "x"],
        ),
        (Function("a"), [len, torch.neg, torch.nn.Identity()], [lambda: 0, int, None]),
        (None, [None], [0, ""]),
        (callable, [print], ["print"]),
        (dict, [{}], [[]]),
        ("boolean", [True, np.bool_(0)], [1, None]),
        ("path", ["a", Path("a")], ["", 3, "a\0.tif", Path("a\0.tif")]),
        ("random_state", [None, 0, np.random.default_rng(0)], [-1, 2**64, 1.5, "0", True]),
        ("verbose", [0, 1, True], [-1, "yes"]),
        ("array-like", [[1], np.ones(2), torch.ones(2), 3.0], ["a", None, {}]),
        ("device", ["auto", 0, torch.device("cpu")], [2.5, None, "", True]),
        (
            "frame shape",
            [(8, 8), [1, 2], np.array([8, 8])],
            [np.array(3.0), (8,), (8, 0), "ab", 8, (8, 8.0)],
        ),
    ],
)
def test_a_constraint_accepts_its_values_alone(constraint, good, bad):
    for value in good:
        check_value(value, "p", [constraint])
    for value in bad:
        with pytest.raises(InvalidParameterError, match=r"^p must be .*; got .*\.$"):
            check_value(value, "p", [constraint])


def test_the_message_lists_all_that_is_allowed():
    with pytest.raises(ValueError, match="sigma") as error:
        check_value(-1, "sigma", [Interval(float, 0, None, unit="px"), Options("auto"), None])
    assert str(error.value) == (
        'sigma must be a finite number of px of at least 0, "auto" or None; got -1.'
    )


def test_the_error_is_a_value_error_and_a_type_error():
    assert issubclass(InvalidParameterError, ValueError)
    assert issubclass(InvalidParameterError, TypeError)


def test_parameters_of_an_estimator_are_checked_by_its_table():
    class Blur(BaseEstimator):
        _parameter_constraints: ClassVar = {"sigma": [Interval(float, 0, None)]}

        def __init__(self, *, sigma=1.0):
            self.sigma = sigma

    check_parameters(Blur())
    with pytest.raises(ValueError, match="sigma must be a finite number of at least 0; got 'x'"):
        check_parameters(Blur(sigma="x"))


def test_arguments_are_checked_however_they_are_passed():
    @check_arguments(n=[Interval(int, 1, None)])
    def repeat(text, n=2):
        """Repeat."""
        return text * n

    assert repeat("a") == "aa"
    assert repeat("a", 3) == "aaa"
    assert repeat.__doc__ == "Repeat."
    for call in (lambda: repeat("a", 0), lambda: repeat("a", n="3")):
        with pytest.raises(ValueError, match="n must be an int of at least 1"):
            call()
    with pytest.raises(TypeError, match="missing a required argument: 'text'"):
        repeat()


def test_a_constraint_on_an_unknown_argument_is_an_error():
    with pytest.raises(TypeError, match="has no arguments"):
        check_arguments(m=[None])(lambda n: n)


def test_values_are_shown_short():
    assert shorten(np.zeros((300, 400))) == "a ndarray of shape (300, 400)"
    assert len(shorten("x" * 1000)) == 80
    assert shorten(torch.ones(3, device="meta")) == "a Tensor of shape (3,)"

    class Rude:
        def __repr__(self):
            raise RuntimeError

    assert shorten(Rude()) == "a Rude"


def test_a_subclass_takes_part_of_a_table():
    class Base(BaseEstimator):
        _parameter_constraints: ClassVar = {"a": [None], "b": [int], "c": [str]}

    assert without(Base, "a", "c") == {"b": [int]}
    assert only(Base, "a", "c") == {"a": [None], "c": [str]}
    assert len(Base._parameter_constraints) == 3
    for pick in (only, without):
        with pytest.raises(KeyError, match="d"):
            pick(Base, "d")


@pytest.mark.parametrize("value", [2**63, -(2**63), 10**30])
def test_ints_that_numpy_cannot_count_to_are_named(value):
    assert not Interval(int, None, None).accepts(value)
    assert Interval(float, None, None).accepts(value)
    with pytest.raises(InvalidParameterError, match=r"n must be an int \(and below 2\*\*63\); got"):
        check_value(value, "n", [Interval(int, None, None)])
    with pytest.raises(InvalidParameterError, match="random_state must be"):
        check_value(abs(value), "random_state", ["random_state"])
