from inspect import isabstract

import pytest
from sklearn.base import BaseEstimator

import stemkit
from stemkit.utils import all_estimators


def subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


def test_every_estimator_is_found_that_a_subpackage_offers():
    found = [cls for _, cls in all_estimators()]
    # The other way round: from the base class down, and not from the modules.
    ours = [cls for cls in subclasses(BaseEstimator) if cls.__module__.startswith("stemkit.")]
    offered = {
        cls
        for cls in ours
        for name in stemkit.__all__
        if cls.__name__ in getattr(getattr(stemkit, name), "__all__", ())
    }
    assert len(found) > 20
    assert set(found) == {cls for cls in offered if not isabstract(cls)}


def test_names_are_those_of_the_classes_in_order_and_once():
    names = [name for name, _ in all_estimators()]
    assert names == sorted(set(names))
    assert all(name == cls.__name__ for name, cls in all_estimators())


@pytest.mark.parametrize("name", sorted(stemkit._DEFINED_IN))
def test_what_stemkit_itself_offers_is_among_them(name):
    thing = getattr(stemkit, name)
    if issubclass(thing, BaseEstimator):
        assert (name, thing) in all_estimators()
