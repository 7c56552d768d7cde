"""For those who test or extend stemkit: what there is of it."""

from __future__ import annotations

from importlib import import_module
from inspect import isabstract, isclass
from pkgutil import walk_packages

from sklearn.base import BaseEstimator

import stemkit

__all__ = ["all_estimators"]


def all_estimators() -> list[tuple[str, type[BaseEstimator]]]:
    """List every public estimator, transformers among them.

    As :func:`sklearn.utils.discovery.all_estimators` does for scikit-learn, it looks through every
    public module, so that a new estimator is found as soon as its subpackage offers it.

    Returns
    -------
    list of (name, class)
        Sorted by name; base classes that can't be used by themselves are left out.

    Examples
    --------
    >>> from stemkit.utils import all_estimators
    >>> dict(all_estimators())["AtomLocator"]
    <class 'stemkit.localize._locator.AtomLocator'>
    """
    names = [module.name for module in walk_packages(stemkit.__path__, f"{stemkit.__name__}.")]
    modules = [import_module(name) for name in names if "._" not in name]
    offered = [
        getattr(module, name) for module in modules for name in getattr(module, "__all__", ())
    ]
    estimators = {
        thing
        for thing in offered
        if isclass(thing) and issubclass(thing, BaseEstimator) and not isabstract(thing)
    }
    return sorted((cls.__name__, cls) for cls in estimators)
