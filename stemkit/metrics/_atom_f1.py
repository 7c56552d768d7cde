"""How many atoms of each frame were found, for scorers: one truth a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from skimage.feature import peak_local_max

from .._validation import check_frames, n_dims
from ._localization import atom_score


def atom_f1(
    y_true: pd.DataFrame | list[ArrayLike] | ArrayLike,
    y_pred: pd.DataFrame | list[ArrayLike] | ArrayLike,
    *,
    tolerance: float = 2.0,
    data_range: float = 255.0,
) -> float:
    """F1 of the atoms of all frames: the harmonic mean of precision and recall.

    Parameters
    ----------
    y_true : stack, list of positions, or DataFrame
        Truth, in any of three ways: dot maps (n_frames, H, W), whose atoms are the local maxima
        above half of the data range; a list with the positions (n_atoms, 2) as (y, x) in px for
        each frame, which a cross-validation can split; or one table with the columns ``frame``,
        ``y`` and ``x``.
    y_pred : stack, list of positions, or DataFrame
        What was found, likewise: a denoiser's dots, or what
        :meth:`stemkit.localize.AtomLocator.predict` gives.
    tolerance : float, default=2
        Largest distance in px between a true and a found position.
    data_range : float, default=255
        Distance from the darkest to the brightest value there can be in dot maps.

    Returns
    -------
    float
        From 0 to 1; 1 where there are no atoms and none were found. Frames count by their atoms.

    Raises
    ------
    ValueError
        Where positions or frames are not what they should be, or there are not as many frames in
        both.

    See Also
    --------
    atom_score : Precision, recall and distances beside it.

    Examples
    --------
    >>> from stemkit.metrics import atom_f1
    >>> true = [[[5, 5], [9, 9]], [[3, 4]]]  # two atoms in the first frame, one in the second
    >>> found = [[[5, 5.5]], [[3, 4], [20, 20]]]
    >>> round(atom_f1(true, found), 3)
    0.667
    """
    if not 0 < data_range < np.inf:
        raise ValueError(f"data_range must be positive and finite; got {data_range}.")
    true, n_true = _as_table(y_true, "y_true", data_range)
    pred, n_pred = _as_table(y_pred, "y_pred", data_range)
    if n_true is not None and n_pred is not None and n_true != n_pred:
        raise ValueError(
            f"y_pred is of {n_pred} frames, but y_true of {n_true}; pass the same frames of both."
        )
    return float(atom_score(true, pred, tolerance=tolerance).f1)


def _as_table(values: Any, name: str, data_range: float) -> tuple[pd.DataFrame, int | None]:
    """Return positions with their frames, and how many frames there are if that is known."""
    if isinstance(values, pd.DataFrame):
        if "frame" not in values.columns:
            raise ValueError(f"{name} has no column 'frame'; say which frame each atom is of.")
        return values, None
    if n_dims(values) == 3 and np.shape(values)[-1] != 2:
        frames = check_frames(values, name=name)
        positions = [_maxima(frame, data_range / 2) for frame in frames]
    else:
        positions = [_check_positions(points, f"{name}[{i}]") for i, points in enumerate(values)]
    counts = [len(points) for points in positions]
    table = pd.DataFrame(np.concatenate([np.empty((0, 2)), *positions]), columns=["y", "x"])
    return table.assign(frame=np.repeat(np.arange(len(counts)), counts)), len(counts)


def _maxima(frame: NDArray[np.float32], threshold: float) -> NDArray:
    return peak_local_max(frame, min_distance=1, threshold_abs=threshold, exclude_border=False)


def _check_positions(points: Any, name: str) -> NDArray:
    if isinstance(points, pd.DataFrame):
        points = points[["y", "x"]]
    array = np.asarray(points, dtype=float)
    if array.size == 0:
        return np.empty((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(
            f"{name} has shape {array.shape}; pass (n_atoms, 2), each position as (y, x), for "
            f"each frame, or dot maps (n_frames, H, W)."
        )
    return array
