"""A trajectory as a table of the numbers that microscopists quote, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._motion import Motion

_COLUMNS = ("dy", "dx", "rotation_deg", "shear", "stretch", "scale")
# Up to so many frames every pair is registered; the work grows with their square.
_ALL_PAIRS = 16


def frame_pairs(n_frames: int) -> list[tuple[int, int]]:
    """List the pairs to register: all of a short series, lags of powers of two of a long one."""
    lags = list(range(1, n_frames))
    if n_frames > _ALL_PAIRS:
        lags = [2**power for power in range(int(np.log2(n_frames - 1)) + 1)]
    return [(i, i + lag) for i in range(n_frames) for lag in lags if i + lag < n_frames]


def trajectory_table(
    motions: Sequence[Motion], closure: NDArray[np.float64], confidence: NDArray[np.float64]
) -> pd.DataFrame:
    """Write motions from the first frame to each as a table, one row a frame."""
    rows = [(*m.drift, np.rad2deg(m.rotation), m.shear, m.stretch, m.scale) for m in motions]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    table["confidence"] = confidence
    table["closure"] = closure
    table.index.name = "frame"
    return table


def motions_from_table(table: pd.DataFrame, shape: tuple[int, int]) -> list[Motion]:
    """Read the motions back; columns that are missing stand for none of theirs."""
    if not isinstance(table, pd.DataFrame):
        raise ValueError(
            f"trajectory is of type {type(table).__name__}; "
            f"pass the table (DataFrame) that trajectory() gave."
        )
    missing = {"dy", "dx"} - set(table.columns)
    if missing:
        raise ValueError(
            f"trajectory lacks the column(s) {sorted(missing)}; "
            f"pass the table that trajectory() gave."
        )
    values = {name: table[name].to_numpy(float) for name in _COLUMNS if name in table}
    if not all(np.isfinite(column).all() for column in values.values()):
        raise ValueError("trajectory holds NaN or inf; drop these frames or interpolate them.")
    return [
        Motion.from_parameters(
            shape,
            drift=(values["dy"][i], values["dx"][i]),
            rotation=np.deg2rad(values["rotation_deg"][i]) if "rotation_deg" in values else 0.0,
            **{name: values[name][i] for name in ("shear", "stretch", "scale") if name in values},
        )
        for i in range(len(table))
    ]
