"""Tests of warnings that point to the user's line."""

import warnings

import numpy as np
import pytest

from stemkit._warnings import warn_caller


def test_the_warning_is_of_the_first_line_outside_of_the_package():
    inside = {"__name__": "stemkit.somewhere", "warn_caller": warn_caller}
    exec("def inner():\n    warn_caller('odd')\n\ndef outer():\n    inner()\n", inside)
    with pytest.warns(UserWarning, match="odd") as caught:
        inside["outer"]()
    assert caught[0].filename == __file__


def test_a_warning_of_a_call_through_scikit_learn():
    class Odd(UserWarning):
        pass

    outside = {"__name__": "sklearn.pipeline", "warn_caller": warn_caller, "Odd": Odd}
    exec("def fit():\n    warn_caller('odd', Odd)\n", outside)
    with pytest.warns(Odd) as caught:
        outside["fit"]()
    assert caught[0].filename == __file__


def test_the_same_line_warns_once_as_python_does():
    np.zeros(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            warn_caller("odd")
    assert len(caught) == 1
