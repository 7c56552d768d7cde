"""Warnings that point to the user's line."""

from __future__ import annotations

import sys
import warnings

# A call of ours goes through these to reach the user's code.
_INSIDE = ("stemkit.", "sklearn.", "joblib.", "contextlib")


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
