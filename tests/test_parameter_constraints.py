"""Tests of the tables of constraints: each estimator declares every parameter, and checks it."""

import inspect

import numpy as np
import pytest

from stemkit._constraints import check_parameters
from stemkit.exceptions import InvalidParameterError
from stemkit.utils import all_estimators

from .small_estimators import small_instances


class Nonsense:
    """An object that no parameter accepts."""


ESTIMATORS = [pytest.param(cls, id=name) for name, cls in all_estimators()]
PARAMETERS = [
    pytest.param(cls, parameter, id=f"{name}-{parameter}")
    for name, cls in all_estimators()
    for parameter in inspect.signature(cls).parameters
]


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_the_table_lists_exactly_the_parameters(cls):
    assert set(cls._parameter_constraints) == set(inspect.signature(cls).parameters)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_defaults_satisfy_the_table(cls):
    required = [
        parameter.name
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.default is inspect.Parameter.empty
    ]
    assert required == []
    check_parameters(cls())
    for estimator in small_instances(cls):
        check_parameters(estimator)


@pytest.mark.parametrize("cls, parameter", PARAMETERS)
def test_fit_names_a_parameter_of_a_wrong_type(cls, parameter):
    estimator = small_instances(cls)[0].set_params(**{parameter: Nonsense()})
    X = np.random.default_rng(0).uniform(50, 99, (3, 16, 16)).astype("float32")
    with pytest.raises(InvalidParameterError, match=rf"^{parameter} must be "):
        estimator.fit(X, X)
