from inspect import isabstract, isclass

from sklearn.base import BaseEstimator

import stemkit
from stemkit.utils import all_estimators


def subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


def test_all_estimators_finds_those_of_every_subpackage():
    found = [cls for _, cls in all_estimators()]
    # The reference is a search over subclasses, independent of modules.
    own = [cls for cls in subclasses(BaseEstimator) if cls.__module__.startswith("stemkit.")]
    public = {
        cls
        for cls in own
        for name in stemkit.__all__
        if cls.__name__ in getattr(getattr(stemkit, name), "__all__", ())
    }
    assert len(found) > 20
    assert set(found) == {cls for cls in public if not isabstract(cls)}


def test_names_are_unique_sorted_and_those_of_the_classes():
    names = [name for name, _ in all_estimators()]
    assert names == sorted(set(names))
    assert all(name == cls.__name__ for name, cls in all_estimators())


def test_all_estimators_contains_those_of_the_top_level():
    top = {name: getattr(stemkit, name) for name in stemkit.__all__}
    estimators = [
        item for item in top.items() if isclass(item[1]) and issubclass(item[1], BaseEstimator)
    ]
    assert len(estimators) >= 9
    assert set(estimators) <= set(all_estimators())
