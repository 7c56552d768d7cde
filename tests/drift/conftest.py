"""A fitted model and a pair of frames, which no test may change."""

import pytest

from ..small_drift import fitted_model, noisy_pair


@pytest.fixture(scope="module")
def model():
    return fitted_model()


@pytest.fixture(scope="module")
def pair():
    return noisy_pair()
