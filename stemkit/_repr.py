"""Representations of results that fit into a line or two."""

from __future__ import annotations

from typing import Any

import numpy as np

# Arrays of at most so many numbers are shown with their values.
_SHOWN = 6


def short_repr(result: Any) -> str:
    """Return the representation of a dataclass or named tuple with large arrays by their shapes."""
    names = getattr(result, "_fields", None) or list(result.__dataclass_fields__)
    parts = [f"{name}={_short(getattr(result, name))}" for name in names]
    return f"{type(result).__name__}({', '.join(parts)})"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        if value.size <= _SHOWN:
            return np.array2string(value, precision=4, separator=", ").replace("\n", "")
        return f"<{value.dtype} of shape {value.shape}>"
    if hasattr(value, "iloc"):
        return f"<{type(value).__name__} of {len(value)} rows>"
    if isinstance(value, tuple | list) and len(value) > 1:
        return f"<{len(value)} items>"
    if isinstance(value, float | np.floating):
        return f"{float(value):.4g}"
    return " ".join(repr(value).split())
