"""What tests and docstring examples share: figures need no window, and are closed afterwards."""

import os
import sys

os.environ["MPLBACKEND"] = "Agg"  # read when matplotlib is imported

import pytest


@pytest.fixture(autouse=True)
def _close_figures():
    """Close figures after each test and example: matplotlib warns at more than 20 open ones."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
