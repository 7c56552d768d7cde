"""Functions for testing and extending stemkit."""

from __future__ import annotations

from importlib import import_module
from inspect import isabstract, isclass
from pkgutil import walk_packages
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

__all__ = ["all_estimators"]


def all_estimators() -> list[tuple[str, type[BaseEstimator]]]:
    """List every public estimator, including transformers.

    Like :func:`sklearn.utils.discovery.all_estimators`, it searches every public module, so that a
    new estimator is found as soon as its subpackage exports it.

    Returns
    -------
    list of (name, class)
        Sorted by name. Abstract base classes are left out.

    Examples
    --------
    >>> from stemkit.utils import all_estimators
    >>> dict(all_estimators())["AtomLocator"]
    <class 'stemkit.localize._locator.AtomLocator'>
    """
    from sklearn.base import BaseEstimator

    import stemkit

    names = [module.name for module in walk_packages(stemkit.__path__, f"{stemkit.__name__}.")]
    modules = [import_module(name) for name in names if "._" not in name]
    public = [
        getattr(module, name) for module in modules for name in getattr(module, "__all__", ())
    ]
    estimators = {
        obj
        for obj in public
        if isclass(obj) and issubclass(obj, BaseEstimator) and not isabstract(obj)
    }
    return sorted((cls.__name__, cls) for cls in estimators)
