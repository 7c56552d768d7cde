"""Scores of atom positions: found ones against true ones, matched one to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching
from scipy.spatial import KDTree
from sklearn.utils import Bunch

from .._arrays import as_array
from .._constraints import Interval, check_arguments
from ._stacks import PIXEL_SIZE

Float64Array: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.intp]

TOLERANCE = Interval(float, 1e-9, 1e9)
_MAX_POSITION = 1e9  # px, beyond which squared distances have no digits for a match


@check_arguments(tolerance=[TOLERANCE], pixel_size=[PIXEL_SIZE, None])
def atom_score(
    true_positions: pd.DataFrame | ArrayLike,
    found_positions: pd.DataFrame | ArrayLike,
    *,
    tolerance: float,
    pixel_size: float | None = None,
) -> Bunch:
    """Match found positions with true ones, one to one, and score them.

    Of all matchings within the tolerance, those with the most pairs are considered, and among these
    the one with the smallest sum of squared distances is chosen.

    Parameters
    ----------
    true_positions : DataFrame or array-like of shape (n_true, 2)
        Positions (y, x) in px. A table has columns ``y`` and ``x``, and ``frame`` if there are
        several frames: only positions of the same frame are matched.
    found_positions : DataFrame or array-like of shape (n_found, 2)
        Likewise.
    tolerance : float
        Largest distance of a match, in px, or in angstrom with a pixel size.
    pixel_size : float, optional
        Length of a pixel in nm, as data sets and files give it.

    Returns
    -------
    Bunch
        - ``precision``, ``recall``, ``f1``: the share of the found positions that are true, the
          share of the true ones that were found, and their harmonic mean. All are 1 if there is
          neither a true nor a found position, and 0 if nothing else matches.
        - ``rms_error``: root mean square distance of the matches, in the tolerance's unit; NaN
          without matches.
        - ``missed``, ``extra``: number of true and of found positions without a match.
        - ``merged``: number of matched found positions within whose tolerance a missed true
          position lies as well: one was found in place of two.
        - ``matches``: DataFrame with ``true`` and ``found``, row numbers counted from 0, and
          ``distance``.

    Raises
    ------
    ValueError
        If positions are not finite or lack a column, or only one table has ``frame``.

    Notes
    -----
    scikit-image does not match points: :func:`skimage.metrics.hausdorff_distance` of two sets of
    points depends on the worst point alone.

    Examples
    --------
    >>> from stemkit.metrics import atom_score
    >>> score = atom_score([[5, 5], [9, 9], [9, 11]], [[5, 5.2], [9, 10], [20, 20]], tolerance=1.5)
    >>> round(score.f1, 3), score.missed, score.extra, score.merged
    (0.667, 1, 1, 1)
    """
    scale = 1.0 if pixel_size is None else 10 * pixel_size  # nm to angstrom
    true, true_frame = check_positions(true_positions, "true_positions")
    found, found_frame = check_positions(found_positions, "found_positions")
    if (true_frame is None) != (found_frame is None):
        without = "true_positions" if true_frame is None else "found_positions"
        raise ValueError(
            f"{without} has no column 'frame', but the other table has; "
            f"add it, or leave it out of both."
        )
    row, column, distance = _near_pairs(true, true_frame, found, found_frame, tolerance / scale)
    taken = _match(row, column, distance / (tolerance / scale), len(true))
    matches = pd.DataFrame(
        {"true": row[taken], "found": column[taken], "distance": scale * distance[taken]}
    )
    n_true, n_found, n_matched = len(true), len(found), len(matches)
    missed = np.ones(n_true, dtype=bool)
    missed[matches["true"]] = False
    # Every found position near a missed one is matched, or else the two would be a match.
    merged = np.unique(column[missed[row]])
    empty = n_true == n_found == 0
    return Bunch(
        precision=n_matched / n_found if n_found else float(empty),
        recall=n_matched / n_true if n_true else float(empty),
        f1=1.0 if empty else 2 * n_matched / (n_true + n_found),
        rms_error=float(np.sqrt((matches["distance"] ** 2).mean())) if n_matched else np.nan,
        missed=n_true - n_matched,
        extra=n_found - n_matched,
        merged=len(merged),
        matches=matches,
    )


def table_of_positions(positions: Sequence[Float64Array]) -> pd.DataFrame:
    """Return the positions (n, 2) of each frame as one table with columns y, x and frame."""
    counts = [len(points) for points in positions]
    table = pd.DataFrame(np.concatenate([np.empty((0, 2)), *positions]), columns=["y", "x"])
    return table.assign(frame=np.repeat(np.arange(len(counts)), counts))


def check_positions(
    positions: pd.DataFrame | ArrayLike, name: str
) -> tuple[Float64Array, NDArray | None]:
    """Return positions (n, 2), and the frame of each if a table has them."""
    frame = None
    if isinstance(positions, pd.DataFrame):
        missing = {"y", "x"} - set(positions.columns)
        if missing:
            raise ValueError(
                f"{name} lacks column(s) {', '.join(sorted(missing))}; name its positions y and x."
            )
        if "frame" in positions.columns:
            frame = positions["frame"].to_numpy()
            if pd.isna(frame).any():
                raise ValueError(f"{name} lacks some atoms' frame (NaN); number them from 0.")
        positions = positions[["y", "x"]]
    points = as_array(positions, name)
    if points.size == 0:
        return np.empty((0, 2)), frame
    if points.dtype.kind not in "uif":
        raise ValueError(
            f"{name} has dtype {points.dtype}, but positions are real numbers (y, x) in px."
        )
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(
            f"{name} has shape {points.shape}; pass (n_atoms, 2), each position as (y, x)."
        )
    points = points.astype(float)
    if not (np.abs(points) <= _MAX_POSITION).all():
        raise ValueError(
            f"{name} holds NaN, inf or more than {_MAX_POSITION:g} px; leave these positions out."
        )
    return points, frame


def _near_pairs(
    true: Float64Array,
    true_frame: NDArray | None,
    found: Float64Array,
    found_frame: NDArray | None,
    tolerance: float,
) -> tuple[IntArray, IntArray, Float64Array]:
    """Return row, column and distance of every pair of one frame within the tolerance."""
    if true_frame is not None and found_frame is not None:
        # A third coordinate keeps positions of different frames further apart than a match.
        try:
            frames = np.unique(np.concatenate([true_frame, found_frame]), return_inverse=True)[1]
        except TypeError as error:
            raise ValueError(
                "true_positions and found_positions have frames of different types, which can't "
                "be compared; number the frames of both from 0."
            ) from error
        apart = 3.0 * tolerance * frames[:, np.newaxis]
        true = np.hstack([true, apart[: len(true)]])
        found = np.hstack([found, apart[len(true) :]])
    pairs = KDTree(true).sparse_distance_matrix(KDTree(found), tolerance, output_type="ndarray")
    # Sorted, so that ties are resolved independently of the tree.
    pairs = pairs[np.lexsort([pairs["j"], pairs["i"]])]
    return pairs["i"], pairs["j"], pairs["v"]


def _match(row: IntArray, column: IntArray, distance: Float64Array, n_rows: int) -> IntArray:
    """Return the indices of the matched pairs: the most, then those of least squared distance.

    Distances are in units of the tolerance, so that they are at most 1.
    """
    if len(row) == 0:
        return np.empty(0, dtype=np.intp)
    # The time of a matching grows with the square of its size, so each connected cluster of pairs
    # is solved separately.
    n_nodes = n_rows + column.max() + 1
    joined = csr_array((np.ones(len(row)), (row, n_rows + column)), shape=(n_nodes, n_nodes))
    cluster = connected_components(joined, directed=False)[1][row]
    order = np.argsort(cluster, kind="stable")
    bounds = np.flatnonzero(np.diff(cluster[order], prepend=-1, append=-1))
    taken = [
        members
        if len(members) == 1
        else members[_match_cluster(row[members], column[members], distance[members])]
        for members in np.split(order, bounds[1:-1])
    ]
    return np.sort(np.concatenate(taken))


def _match_cluster(row: IntArray, column: IntArray, distance: Float64Array) -> IntArray:
    rows, row = np.unique(row, return_inverse=True)
    columns, column = np.unique(column, return_inverse=True)
    # Every row has a further column that leaves it unmatched, at a cost above that of any match.
    # Weights are offset by 1, since a weight of 0 would remove the edge.
    alone = np.arange(len(rows))
    weight = np.concatenate([distance**2 + 1, np.full(len(rows), len(rows) + 2.0)])
    graph = csr_array(
        (weight, (np.concatenate([row, alone]), np.concatenate([column, len(columns) + alone]))),
        shape=(len(rows), len(columns) + len(rows)),
    )
    partner = min_weight_full_bipartite_matching(graph)[1]
    return np.flatnonzero(partner[row] == column)
