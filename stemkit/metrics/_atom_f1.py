"""F1 of the atoms found in each frame, in a form that scorers can use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from skimage.feature import peak_local_max

from .._arrays import as_array
from .._constraints import check_arguments
from .._validation import check_frames, n_dims
from ._localization import TOLERANCE, atom_score, check_positions, table_of_positions
from ._stacks import DATA_RANGE


@check_arguments(tolerance=[TOLERANCE], data_range=[DATA_RANGE])
def atom_f1(
    y_true: pd.DataFrame | list[ArrayLike] | ArrayLike,
    y_pred: pd.DataFrame | list[ArrayLike] | ArrayLike,
    *,
    tolerance: float = 2.0,
    data_range: float = 255.0,
) -> float:
    """Compute the F1 score of the atoms of all frames, the harmonic mean of precision and recall.

    Parameters
    ----------
    y_true : stack, list of positions, or DataFrame
        True atoms in one of three forms: dot maps (n_frames, H, W), whose atoms are the local
        maxima above half of the data range; a list with the positions (n_atoms, 2) as (y, x) in px
        for each frame, which a cross-validation can split; or one table with the columns
        ``frame``, ``y`` and ``x``.
    y_pred : stack, list of positions, or DataFrame
        Found atoms in one of these forms: a denoiser's dots, or the result of
        :meth:`stemkit.localize.AtomLocator.predict`.
    tolerance : float, default=2
        Largest distance in px between a true and a found position.
    data_range : float, default=255
        Distance from the darkest to the brightest possible value of dot maps.

    Returns
    -------
    float
        From 0 to 1; 1 if there are no atoms and none were found. Frames are weighted by their
        number of atoms.

    Raises
    ------
    ValueError
        If positions or frames are not finite or have a wrong shape, or the numbers of frames
        differ.

    See Also
    --------
    atom_score : Also gives precision, recall and distances.

    Examples
    --------
    >>> from stemkit.metrics import atom_f1
    >>> true = [[[5, 5], [9, 9]], [[3, 4]]]  # two atoms in the first frame, one in the second
    >>> found = [[[5, 5.5]], [[3, 4], [20, 20]]]
    >>> round(atom_f1(true, found), 3)
    0.667
    """
    true, n_true = _as_table(y_true, "y_true", data_range)
    pred, n_pred = _as_table(y_pred, "y_pred", data_range)
    if n_true is not None and n_pred is not None and n_true != n_pred:
        raise ValueError(
            f"y_pred is of {n_pred} frames, but y_true of {n_true}; pass both for the same frames."
        )
    return float(atom_score(true, pred, tolerance=tolerance).f1)


def _as_table(values: Any, name: str, data_range: float) -> tuple[pd.DataFrame, int | None]:
    """Return positions with their frames, and the number of frames if it is known."""
    if isinstance(values, pd.DataFrame):
        if "frame" not in values.columns:
            raise ValueError(f"{name} has no column 'frame'; add each atom's frame number.")
        return values, None
    if n_dims(values) == 3 and as_array(values, name).shape[-1] != 2:
        frames = check_frames(values, name=name)
        positions = [_maxima(frame, data_range / 2) for frame in frames]
    elif isinstance(values, list | tuple) or (isinstance(values, np.ndarray) and values.ndim):
        positions = [check_positions(points, f"{name}[{i}]")[0] for i, points in enumerate(values)]
    else:
        raise ValueError(
            f"{name} must be dot maps (n_frames, H, W), a list of positions (n_atoms, 2) or a "
            f"table; got a {type(values).__name__}."
        )
    return table_of_positions(positions), len(positions)


def _maxima(frame: NDArray[np.float32], threshold: float) -> NDArray:
    return peak_local_max(frame, min_distance=1, threshold_abs=threshold, exclude_border=False)
