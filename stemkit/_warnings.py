"""Warnings that point to the user's line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# A call of ours goes through these to reach the user's code.
_INSIDE = ("stemkit.", "sklearn.", "joblib.", "contextlib")
# The keys of the warnings that were issued inside `warn_once`.
_issued: ContextVar[set[object] | None] = ContextVar("_issued", default=None)


@contextmanager
def warn_once() -> Iterator[None]:
    """Let something that is called for each frame warn only once, see `is_first`."""
    token = _issued.set(set())
    try:
        yield
    finally:
        _issued.reset(token)


def is_first(key: object) -> bool:
    """Return whether a warning of this key is the first inside `warn_once`; outside, True."""
    issued = _issued.get()
    if issued is None:
        return True
    known = key in issued
    issued.add(key)
    return not known


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the first function outside of stemkit and scikit-learn.

    Parameters
    ----------
    message : str
        What was seen and what to do.
    category : type of Warning, default=UserWarning
        Its class.
    """
    frame, depth = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_INSIDE):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, category, stacklevel=depth)
