"""Trajectories as tables of drift, rotation and shear, and which pairs of frames to register."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._arrays import as_array
from .._constraints import Interval, check_arguments
from .._constraints import Sequence as SequenceOf
from .._motion import Motion

_COLUMNS = ("dy", "dx", "rotation_deg", "shear", "stretch", "scale")
# Longest series of which all pairs are registered; their number grows with the square.
_ALL_PAIRS = 16


@check_arguments(n_frames=[Interval(int, 1, 1_000_000)])
def frame_pairs(n_frames: int) -> list[tuple[int, int]]:
    """List the pairs of frames to register in a series.

    Up to 16 frames these are all pairs; beyond, those whose distance is a power of two.

    Parameters
    ----------
    n_frames : int
        Number of frames.

    Returns
    -------
    list of (int, int)
        Pairs (i, j) with i < j.

    Raises
    ------
    InvalidParameterError
        If ``n_frames`` is not at least 1 and at most 1,000,000.

    Examples
    --------
    >>> from stemkit.registration import frame_pairs
    >>> frame_pairs(3)
    [(0, 1), (0, 2), (1, 2)]
    """
    lags = list(range(1, n_frames))
    if n_frames > _ALL_PAIRS:
        lags = [2**power for power in range(int(np.log2(n_frames - 1)) + 1)]
    return [(i, i + lag) for i in range(n_frames) for lag in lags if i + lag < n_frames]


@check_arguments(motions=[SequenceOf(Motion)])
def trajectory_table(
    motions: Sequence[Motion], closure: NDArray[np.float64], confidence: NDArray[np.float64]
) -> pd.DataFrame:
    """Return the motions of a series as a table.

    Parameters
    ----------
    motions : sequence of Motion
        From the first frame to each.
    closure, confidence : ndarray of shape (n_frames,)
        As in :class:`Trajectory`, which unpacks into these three arguments.

    Returns
    -------
    DataFrame
        One row for each frame with the columns ``dy`` and ``dx`` (px), ``rotation_deg``, ``shear``,
        ``stretch``, ``scale``, ``confidence`` and ``closure``.

    Raises
    ------
    InvalidParameterError
        If ``motions`` is not a sequence of Motion.
    ValueError
        If ``closure`` or ``confidence`` is not one number for each motion, ``confidence`` is not
        finite or ``closure`` is infinite. A ``closure`` of NaN is that of a frame without loops.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.registration import Motion, trajectory_table
    >>> motions = [Motion((64, 64)), Motion((64, 64), drift=(3, -2))]
    >>> trajectory_table(motions, np.zeros(2), np.ones(2))[["dy", "dx"]].to_numpy().tolist()
    [[0.0, 0.0], [3.0, -2.0]]
    """
    columns = {"confidence": as_array(confidence, "confidence")}
    columns["closure"] = as_array(closure, "closure")
    for name, array in columns.items():
        if array.shape != (len(motions),) or array.dtype.kind not in "buif":
            raise ValueError(
                f"{name} has shape {array.shape} and dtype {array.dtype} for {len(motions)} "
                f"motions; pass one number for each."
            )
    if not np.isfinite(columns["confidence"]).all() or np.isinf(columns["closure"]).any():
        raise ValueError("confidence must be finite, and closure finite or NaN.")
    rows = [(*m.drift, np.rad2deg(m.rotation), m.shear, m.stretch, m.scale) for m in motions]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    for name, array in columns.items():
        table[name] = array
    table.index.name = "frame"
    return table


@check_arguments(shape=["frame shape"])
def motions_from_table(table: pd.DataFrame, shape: tuple[int, int]) -> list[Motion]:
    """Return the motions that a table describes.

    Parameters
    ----------
    table : DataFrame
        One row for each frame with the columns ``dy`` and ``dx``, and optionally
        ``rotation_deg``, ``shear``, ``stretch`` and ``scale``; others are ignored.
    shape : tuple of int
        Shape (H, W) of the frames.

    Returns
    -------
    list of Motion
        One for each row.

    Raises
    ------
    ValueError
        If ``table`` is not a DataFrame, lacks ``dy`` or ``dx``, or is not finite.

    Examples
    --------
    >>> import pandas as pd
    >>> from stemkit.registration import motions_from_table
    >>> table = pd.DataFrame({"dy": [0.0, 3.0], "dx": [0.0, -2.0]})
    >>> motions_from_table(table, (64, 64))[1].drift.tolist()
    [3.0, -2.0]
    """
    return read_motions(table, shape, "table")


def read_motions(table: pd.DataFrame, shape: tuple[int, int], name: str) -> list[Motion]:
    """Return the motions that a table describes; errors call the table by this name."""
    if not isinstance(table, pd.DataFrame):
        raise ValueError(
            f"{name} is of type {type(table).__name__}; "
            f"pass a DataFrame with the columns dy and dx, as trajectory() returns."
        )
    missing = {"dy", "dx"} - set(table.columns)
    if missing:
        raise ValueError(
            f"{name} lacks the column(s) {sorted(missing)}; pass a table as trajectory() returns."
        )
    values = {key: table[key].to_numpy(float) for key in _COLUMNS if key in table}
    if not all(np.isfinite(column).all() for column in values.values()):
        raise ValueError(f"{name} holds NaN or inf; drop these frames or interpolate them.")
    return [
        Motion.from_parameters(
            shape,
            drift=(values["dy"][i], values["dx"][i]),
            rotation=np.deg2rad(values["rotation_deg"][i]) if "rotation_deg" in values else 0.0,
            **{key: values[key][i] for key in ("shear", "stretch", "scale") if key in values},
        )
        for i in range(len(table))
    ]
