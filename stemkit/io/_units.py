"""Units of length in the headers of files."""

from __future__ import annotations

import re

_NM_PER_UNIT = {
    "nm": 1.0,
    "pm": 1e-3,
    "å": 0.1,
    "angstrom": 0.1,
    "µm": 1e3,
    "μm": 1e3,  # Greek mu; the one above is the micro sign
    "um": 1e3,
    "micron": 1e3,
}


def nm_per_unit(unit: str) -> float | None:
    """Return the length of a unit in nm, or None if it is not a known unit of length."""
    # ImageJ escapes what is not ASCII, such as the micro sign.
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), unit)
    return _NM_PER_UNIT.get(plain.strip().lower())
