"""Weighted least squares of the placements of all frames of a series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu


def solve_placements(
    edges: NDArray[np.intp],
    matrices: NDArray[np.float64],
    weights: NDArray[np.float64],
    n_frames: int,
    reference: int,
) -> NDArray[np.float64]:
    """Solve ``placed[j] = matrix[i, j] @ placed[i]`` for all pairs by weighted least squares.

    The equations are the same for each column of the placements, so linear parts and drifts are
    solved together. Each frame is in few pairs, so the normal equations are sparse.

    Parameters
    ----------
    edges : ndarray of shape (n_pairs, 2)
        The pairs (i, j).
    matrices : ndarray of shape (n_pairs, 3, 3)
        Motion of each pair about the centre.
    weights : ndarray of shape (n_pairs,)
        Positive weight of each pair.
    n_frames : int
        Number of frames.
    reference : int
        The frame whose placement is the identity.

    Returns
    -------
    ndarray of shape (n_frames, 3, 3)
        Frames without a chain to the reference are left unmoved.
    """
    placed = np.tile(np.eye(3), (n_frames, 1, 1))
    i, j = edges.T
    links = sparse.coo_array((np.ones(len(edges)), (i, j)), shape=(n_frames, n_frames))
    part = connected_components(links.tocsr(), directed=False)[1]
    linked = np.flatnonzero(part == part[reference])
    free = linked[linked != reference]
    if not len(free):
        return placed
    # Of each linked frame, its place among the unknowns; the reference comes last.
    order = np.full(n_frames, -1)
    order[free], order[reference] = np.arange(len(free)), len(free)
    kept = part[i] == part[reference]
    i, j, w = order[i[kept]], order[j[kept]], weights[kept, None, None]
    linear, drift = matrices[kept, :2, :2], matrices[kept, :2, 2:]
    turned = linear.swapaxes(1, 2)
    blocks = np.concatenate(
        [w * (turned @ linear), np.broadcast_to(w * np.eye(2), linear.shape), -w * turned]
    )
    rows, columns = np.concatenate([i, j, i]), np.concatenate([i, j, j])
    # The block of (j, i) is that of (i, j), transposed.
    blocks = np.concatenate([blocks, -w * linear])
    rows, columns = np.concatenate([rows, j]), np.concatenate([columns, i])
    within = np.arange(2)
    row = np.broadcast_to(2 * rows[:, None, None] + within[:, None], blocks.shape)
    column = np.broadcast_to(2 * columns[:, None, None] + within, blocks.shape)
    size = 2 * len(free) + 2
    normal = sparse.coo_array(
        (blocks.ravel(), (row.ravel(), column.ravel())), shape=(size, size)
    ).tocsc()
    right = np.zeros((len(free) + 1, 2, 3))
    np.add.at(right[..., 2:], j, w * drift)
    np.add.at(right[..., 2:], i, -w * (turned @ drift))
    right = right.reshape(size, 3) - normal[:, -2:] @ np.eye(2, 3)
    factors = splu(
        normal[:-2, :-2],
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    placed[free, :2] = factors.solve(right[:-2]).reshape(len(free), 2, 3)
    return placed
