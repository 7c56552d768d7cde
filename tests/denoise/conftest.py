import pytest
from sklearn.base import clone

from .tiny import MODELS, random_pairs, scgn


@pytest.fixture(scope="module", params=MODELS.values(), ids=MODELS)
def fitted(request):
    return clone(request.param).fit(*random_pairs())


@pytest.fixture(scope="module")
def model():
    return scgn().fit(*random_pairs())
