"""Declared constraints on parameters, and the functions that check them.

An estimator lists what each parameter may be in ``_parameter_constraints``, as scikit-learn's do;
a function lists its arguments with :func:`check_arguments`. A constraint is one of

- an :class:`Interval` of numbers, :class:`Options`, :class:`HasMethods`, :class:`Function` or
  :class:`Sequence`;
- a class, of which the value is then an instance;
- ``None``, ``callable``, or one of the names "boolean", "path", "random_state", "verbose",
  "array-like", "device" and "frame shape".
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from numbers import Real
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np

from .exceptions import InvalidParameterError

_P = ParamSpec("_P")
_R = TypeVar("_R")
Constraints = Collection[Any]


# What NumPy and torch can count to.
_MOST = 2**63


class Interval:
    """Finite numbers of a kind between two bounds.

    Parameters
    ----------
    kind : {int, float}
        int accepts whole numbers of Python and NumPy, of a size below 2**63 as arrays can hold
        them, but not bool; float accepts any real number.
    low, high : float or None
        Bounds; None for no bound.
    closed : {"both", "left", "right", "neither"}, default="both"
        Which bounds the interval contains.
    unit : str, default=""
        Unit for messages, such as "px".
    """

    def __init__(
        self,
        kind: type[int] | type[float],
        low: float | None,
        high: float | None,
        *,
        closed: Literal["both", "left", "right", "neither"] = "both",
        unit: str = "",
    ) -> None:
        self.kind, self.low, self.high, self.closed, self.unit = kind, low, high, closed, unit

    def accepts(self, value: object) -> bool:
        """Return whether the value lies in the interval."""
        # Not fractions.Fraction, which can't be combined with arrays.
        number = (int, np.integer) if self.kind is int else (int, float, np.integer, np.floating)
        if isinstance(value, bool | np.bool_) or not isinstance(value, number):
            return False
        try:
            x = float(value)
        except OverflowError:  # an int beyond the largest float
            return False
        if not math.isfinite(x) or (self.kind is int and abs(int(value)) >= _MOST):
            return False
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        above = x >= low if self.closed in ("both", "left") else x > low
        below = x <= high if self.closed in ("both", "right") else x < high
        return above and below

    def __str__(self) -> str:
        noun = "an int" if self.kind is int else "a finite number"
        if self.unit:
            noun += f" of {self.unit}"
        if self.low is not None and self.high is not None:
            brackets = ("[" if self.closed in ("both", "left") else "(") + (
                "]" if self.closed in ("both", "right") else ")"
            )
            return f"{noun} in {brackets[0]}{self.low:g}, {self.high:g}{brackets[1]}"
        if self.low is not None:
            word = "of at least" if self.closed in ("both", "left") else "above"
            return f"{noun} {word} {self.low:g}"
        if self.high is not None:
            word = "of at most" if self.closed in ("both", "right") else "below"
            return f"{noun} {word} {self.high:g}"
        return noun


class Options:
    """A fixed set of strings or whole numbers.

    Parameters
    ----------
    *values : str or int
        What the value may be.
    """

    def __init__(self, *values: str | int) -> None:
        self.values = values

    def accepts(self, value: object) -> bool:
        """Return whether the value is one of the options."""
        if isinstance(value, bool | np.bool_) or not isinstance(value, str | int | np.integer):
            return False
        return value in self.values

    def __str__(self) -> str:
        quoted = [f'"{value}"' if isinstance(value, str) else str(value) for value in self.values]
        return quoted[0] if len(quoted) == 1 else "one of " + _joined(quoted, "and")


class HasMethods:
    """Objects that have certain methods.

    Parameters
    ----------
    *methods : str
        Names of the methods.
    example : str, default=""
        An example of such an object, for messages.
    """

    def __init__(self, *methods: str, example: str = "") -> None:
        self.methods, self.example = methods, example

    def accepts(self, value: object) -> bool:
        """Return whether the value has all of the methods and is not a class."""
        has_all = all(callable(getattr(value, name, None)) for name in self.methods)
        return has_all and not isinstance(value, type)

    def __str__(self) -> str:
        text = f"an object with {_joined(list(self.methods), 'and')}"
        return f"{text}, such as {self.example}" if self.example else text


class Function:
    """Functions, and objects that are called like one, but no classes.

    Parameters
    ----------
    *arguments : str
        What the function is called with, by place.
    **named : str
        What it is called with by name.
    """

    def __init__(self, *arguments: str, **named: str) -> None:
        self.arguments, self.named = arguments, named

    def accepts(self, value: object) -> bool:
        """Return whether the value can be called with the arguments."""
        if not callable(value) or isinstance(value, type):
            return False
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):  # a function in C without a signature
            return True
        try:
            signature.bind(*self.arguments, **self.named)
        except TypeError:
            return False
        return True

    def __str__(self) -> str:
        named = [f"{name}={text}" for name, text in self.named.items()]
        return f"a function that is called with ({', '.join([*self.arguments, *named])})"


class Sequence:
    """Lists, tuples and one-dimensional arrays whose items satisfy a constraint.

    Parameters
    ----------
    item : constraint
        What each item may be.
    length : int or None, default=None
        Number of items; None for any number above 0.
    """

    def __init__(self, item: Any, length: int | None = None) -> None:
        self.item, self.length = item, length

    def accepts(self, value: object) -> bool:
        """Return whether the value is such a sequence."""
        if isinstance(value, np.ndarray):
            value = list(value) if value.ndim == 1 else None
        if not isinstance(value, list | tuple):
            return False
        wanted = len(value) == self.length if self.length is not None else len(value) > 0
        return wanted and all(_accepts(self.item, item) for item in value)

    def __str__(self) -> str:
        count = "a sequence" if self.length is None else f"{self.length} items"
        return f"{count}, each {_describe(self.item)}"


def check_parameters(estimator: Any, constraints: Mapping[str, Constraints] | None = None) -> None:
    """Check the parameters of an estimator against its ``_parameter_constraints``.

    Parameters
    ----------
    estimator : estimator
        Its ``get_params(deep=False)`` are checked.
    constraints : mapping of str to collection of constraints, optional
        Constraints to use in place of the estimator's own.

    Raises
    ------
    InvalidParameterError
        If a parameter satisfies none of its constraints.
    """
    table = estimator._parameter_constraints if constraints is None else constraints
    for name, value in estimator.get_params(deep=False).items():
        if name in table:
            check_value(value, name, table[name])


def only(base: Any, *names: str) -> dict[str, Constraints]:
    """Return the constraints of some parameters of a base class, for a subclass with these."""
    return {name: base._parameter_constraints[name] for name in names}


def without(base: Any, *names: str) -> dict[str, Constraints]:
    """Return the constraints of a base class without those of parameters that a subclass lacks."""
    table = dict(base._parameter_constraints)
    for name in names:
        del table[name]
    return table


def check_arguments(
    **constraints: Constraints,
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a function so that its arguments are checked before it runs.

    Parameters
    ----------
    **constraints : collection of constraints
        For each argument to check, what it may be.

    Returns
    -------
    callable
        The decorator.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = inspect.signature(function)
        if unknown := constraints.keys() - signature.parameters.keys():
            raise TypeError(f"{function.__name__} has no arguments {sorted(unknown)}")

        @wraps(function)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            bound = signature.bind(*args, **kwargs).arguments
            for name, allowed in constraints.items():
                if name in bound:
                    check_value(bound[name], name, allowed)
            return function(*args, **kwargs)

        return checked

    return decorate


def check_value(value: object, name: str, allowed: Constraints) -> None:
    """Raise InvalidParameterError if a value satisfies none of its constraints."""
    if any(_accepts(constraint, value) for constraint in allowed):
        return
    descriptions = [_describe(constraint) for constraint in allowed]
    limit = " (and below 2**63)" if isinstance(value, int) and abs(value) >= _MOST else ""
    raise InvalidParameterError(
        f"{name} must be {_joined(descriptions, 'or')}{limit}; got {shorten(value)}."
    )


def reason_of(error: Exception) -> str:
    """Return the first line of an error's message, or its class if there is none."""
    return str(error).split("\n")[0].rstrip(".") or type(error).__name__


def shorten(value: object, most: int = 80) -> str:
    """Return the repr of a value for a message, cut where it is long."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"a {type(value).__name__} of shape {tuple(shape)}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a repr of somebody else's class may fail in any way
        return f"a {type(value).__name__}"
    return text if len(text) <= most else text[: most - 3] + "..."


def _is_random_state(value: object) -> bool:
    if isinstance(value, np.random.Generator | np.random.RandomState):
        return True
    return value is None or Interval(int, 0, None).accepts(value)


def _is_path(value: object) -> bool:
    # No system has files with a null character in their names.
    return isinstance(value, str | os.PathLike) and bool(str(value)) and "\0" not in str(value)


def _is_device(value: object) -> bool:
    if isinstance(value, str):
        return bool(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value >= 0
    return type(value).__module__ == "torch" and type(value).__name__ == "device"


def _is_frame_shape(value: object) -> bool:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    return all(Interval(int, 1, None).accepts(side) for side in value)


def _is_array_like(value: object) -> bool:
    if isinstance(value, str | bytes | os.PathLike | Mapping) or value is None:
        return False
    return hasattr(value, "__array__") or isinstance(value, list | tuple | Real)


_NAMED: dict[str, tuple[Callable[[object], bool], str]] = {
    "boolean": (lambda value: isinstance(value, bool | np.bool_), "True or False"),
    "path": (_is_path, "a path"),
    "random_state": (
        _is_random_state,
        "None, an int of at least 0, a RandomState or a Generator",
    ),
    "verbose": (
        lambda value: isinstance(value, bool) or Interval(int, 0, None).accepts(value),
        "an int of at least 0",
    ),
    "array-like": (_is_array_like, "an array"),
    "device": (_is_device, 'a device such as "auto", "cpu" or "cuda:0"'),
    "frame shape": (_is_frame_shape, "(H, W), each an int of at least 1"),
}


def _accepts(constraint: Any, value: object) -> bool:
    if constraint is None:
        return value is None
    if constraint is callable:
        return callable(value)
    if isinstance(constraint, str):
        return _NAMED[constraint][0](value)
    if isinstance(constraint, type):
        return isinstance(value, constraint)
    return bool(constraint.accepts(value))


def _describe(constraint: Any) -> str:
    if constraint is None:
        return "None"
    if constraint is callable:
        return "a callable"
    if isinstance(constraint, str):
        return _NAMED[constraint][1]
    if isinstance(constraint, type):
        article = "an" if constraint.__name__[0] in "AEIOUaeiou" else "a"
        return f"{article} {constraint.__name__}"
    return str(constraint)


def _joined(parts: list[str], word: str) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"
