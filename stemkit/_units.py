"""Units of length, time and the like in the headers of files."""

from __future__ import annotations

import math
import re
from typing import Any

_NM_PER_UNIT = {
    **dict.fromkeys(("nm", "n_m", "nanometer", "nanometers", "nanometre"), 1.0),
    **dict.fromkeys(("pm", "p_m", "picometer"), 1e-3),
    **dict.fromkeys(("å", "a", "ang", "angstrom", "angstroms", "ångström"), 0.1),
    # The micro sign, and the Greek letter.
    **dict.fromkeys(("µm", "μm", "um", "u_m", "micron", "microns", "micrometer"), 1e3),
    **dict.fromkeys(("mm", "m_m", "millimeter"), 1e6),
    **dict.fromkeys(("m", "meter", "metre"), 1e9),
}
_S_PER_UNIT = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond"), 1e-3),
    **dict.fromkeys(("µs", "μs", "us", "microsecond"), 1e-6),
    **dict.fromkeys(("ns", "nanosecond"), 1e-9),
    **dict.fromkeys(("min", "minute"), 60.0),
}


def _plain(unit: Any) -> str:
    # ImageJ escapes what is not ASCII, such as the micro sign. The sign of the unit Å, which is not
    # the letter Å, has the same lower case.
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), str(unit or ""))
    return text.strip().strip("\0").lower()


def nm_per_unit(unit: Any) -> float | None:
    """Return the length of a unit in nm, or None if it is not a known unit of length."""
    return _NM_PER_UNIT.get(_plain(unit))


def s_per_unit(unit: Any) -> float | None:
    """Return the duration of a unit in s, or None if it is not a known unit of time."""
    return _S_PER_UNIT.get(_plain(unit))


def pixel_size_in_nm(y: float | None, x: float | None) -> float | tuple[float, float] | None:
    """Return one size for square pixels, (y, x) for oblong ones, and None for unknown ones.

    Pixels are square if the sizes agree to a percent.
    """
    if y is None or x is None or not (math.isfinite(y) and math.isfinite(x) and y > 0 and x > 0):
        return None
    return float(x) if math.isclose(y, x, rel_tol=0.01) else (float(y), float(x))
