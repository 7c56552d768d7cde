"""One motion for each frame, from registrations of many pairs of frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._constraints import Interval, Sequence, check_arguments, check_value
from .._motion import Motion
from ._pair import MIN_CONFIDENCE, Registration
from ._pair_graph import (
    Edge,
    evidence_of,
    graph_of,
    likeliest_chain,
    place_along_tree,
    support_of,
)
from ._placement import solve_placements

# Residual in px, plus a share of the frame's side, at which the weight of a registration is halved.
_TOLERANCE_PX = 0.5
_TOLERANCE_SHARE = 0.002
# Registrations without confidence keep this weight, for frames that have no others.
_MIN_WEIGHT = 1e-3
# Weights fall with the residual to this share of the largest at least, for the precision of the
# solution.
_LEAST_SHARE = 1e-11
# Weight in the closure of registrations without confidence.
_UNSURE = 1e-9
_MAX_ROUNDS = 30


class Trajectory(NamedTuple):
    """Motion of each frame of a series.

    Attributes
    ----------
    motions : list of Motion
        From the reference, the first frame by default, to each; that of the reference is the
        identity.
    closure : ndarray of shape (n_frames,)
        Root mean square difference between ``motions`` and the registrations of each frame, in px,
        over all of them, wrong ones included, weighted by their confidence. NaN for frames that are
        in no closed loop of registrations.
    confidence : ndarray of shape (n_frames,)
        Probability of the likeliest chain of registrations from the reference, times the share
        of registrations that agree; 0 for frames without a chain to the reference.
    """

    motions: list[Motion]
    closure: NDArray[np.float64]
    confidence: NDArray[np.float64]


@check_arguments(
    registrations=[Mapping],
    n_frames=[Interval(int, 1, None)],
    reference=[Interval(int, 0, None)],
)
def reconcile(
    registrations: Mapping[Edge, Registration], n_frames: int, *, reference: int = 0
) -> Trajectory:
    """Find the motions that agree best with the registrations of many pairs of frames.

    This is weighted least squares over all pairs. A pair of probability p weighs -log(1 - p), so
    that several doubtful pairs do not outvote a certain one. The weights fall with the residual,
    and the candidates are chosen so that loops close: a pair that is wrong, or off by a lattice
    vector, has no influence.

    Parameters
    ----------
    registrations : mapping of (i, j) to Registration
        Registration of frame i to frame j, for any number of pairs.
    n_frames : int
        Number of frames.
    reference : int, default=0
        The frame that motions are relative to, for a series whose first frame is lost.

    Returns
    -------
    Trajectory
        A named tuple of motions, closure and confidence.

    Raises
    ------
    InvalidParameterError
        If ``registrations`` is not a mapping of pairs of ints to Registration, or ``n_frames`` is
        not at least 1.
    ValueError
        If there is no registration, one is of a frame that doesn't exist, the reference is none of
        the frames, or frames differ in shape.

    Examples
    --------
    >>> from stemkit.registration import Motion, Registration, reconcile
    >>> def pair(drift, confidence):
    ...     motion = Motion((64, 64), drift)
    ...     return Registration(motion, confidence, ((motion, 1.0),), 1.0)
    >>> right = {(0, 1): (3, 0), (1, 2): (3, 1), (2, 3): (3, 0), (0, 2): (6, 1), (1, 3): (6, 1)}
    >>> pairs = {edge: pair(drift, 0.9) for edge, drift in right.items()}
    >>> pairs[0, 3] = pair((20, 1), 0.9)
    >>> reconcile(pairs, 4).motions[3].drift.round(1).tolist()
    [9.0, 1.0]
    """
    shape = _check(registrations, n_frames, reference)
    corners = np.array([[y, x, 1.0] for y in (-0.5, 0.5) for x in (-0.5, 0.5)]).T
    corners[:2] *= np.array(shape)[:, None]
    tolerance = _TOLERANCE_PX + _TOLERANCE_SHARE * max(shape)
    graph = graph_of(registrations)
    first, second = graph.edges.T
    each = np.arange(len(graph.edges))

    support = support_of(graph, n_frames, shape, tolerance)
    placed = place_along_tree(graph, support, n_frames, reference)
    before = np.full(len(each), -1)
    for _ in range(_MAX_ROUNDS):
        moved = graph.matrices @ placed[first, None] - placed[second, None]
        distances = _distances(moved, corners)
        plausibility = graph.probability / (1 + (distances / tolerance) ** 2)
        chosen = plausibility.argmax(axis=1)
        residual, probability = distances[each, chosen], graph.probability[each, chosen]
        # The square of Cauchy's weight, which outliers do not influence (Geman and McClure).
        cauchy = 1 + (residual / tolerance) ** 2
        weights = np.maximum(evidence_of(probability), _MIN_WEIGHT) / cauchy**2
        weights = np.maximum(weights, _LEAST_SHARE * weights.max())
        matrices = graph.matrices[each, chosen]
        solved = solve_placements(graph.edges, matrices, weights, n_frames, reference)
        change = _distances(solved - placed, corners).max()
        placed = solved
        if change < 1e-3 and np.array_equal(chosen, before):
            break
        before = chosen

    agreement = 1 / (1 + (residual / tolerance) ** 2)
    motions = [Motion(shape, m[:2, 2], m[:2, :2]) for m in placed]
    if all(_is_rigid(r.motion) for r in registrations.values()):
        motions = [
            Motion.from_parameters(shape, drift=m.drift, rotation=m.rotation) for m in motions
        ]
    confidence = np.array([each.confidence for each in registrations.values()])
    consistency = _consistency(graph.edges, residual < tolerance, confidence, n_frames)
    consistency[reference] = 1  # all motions are relative to it
    closure = _closure(graph.edges, residual, confidence, n_frames)
    chain = likeliest_chain(graph.edges, probability * agreement, n_frames, reference)
    return Trajectory(motions, closure, consistency * chain)


def _check(
    registrations: Mapping[Edge, Registration], n_frames: int, reference: int
) -> tuple[int, int]:
    if not registrations:
        raise ValueError("registrations is empty; register at least one pair of frames.")
    if reference >= n_frames:
        raise ValueError(
            f"reference is {reference}, but there are {n_frames} frames; pass the index of one, "
            f"counted from 0."
        )
    for edge, registration in registrations.items():
        check_value(edge, "each key of registrations", [Sequence(Interval(int, None, None), 2)])
        check_value(registration, f"registrations[{edge}]", [Registration])
        i, j = edge
        if not (0 <= i < n_frames and 0 <= j < n_frames and i != j):
            raise ValueError(
                f"registrations has the pair {(i, j)}, but there are {n_frames} frames; "
                f"pass pairs of two different frames, counted from 0."
            )
    shapes = {r.motion.shape for r in registrations.values()}
    if len(shapes) > 1:
        raise ValueError(
            f"registrations are of frames of different shapes {sorted(shapes)}; "
            f"reconcile frames of one shape."
        )
    return shapes.pop()


def _distances(
    differences: NDArray[np.float64], corners: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the root mean square distances between placements of the frame's corners."""
    apart = (differences @ corners)[..., :2, :]
    return np.sqrt(np.sum(apart**2, axis=-2).mean(axis=-1))


def _is_rigid(motion: Motion) -> bool:
    return bool(np.allclose(motion.matrix @ motion.matrix.T, np.eye(2), atol=1e-9))


def _consistency(
    edges: NDArray[np.intp],
    agrees: NDArray[np.bool_],
    confidence: NDArray[np.float64],
    n_frames: int,
) -> NDArray[np.float64]:
    """Return the share of registrations of high confidence that agree with the motions.

    It is the share of a frame's own or of all, whichever is less: any registration in a loop that
    does not close may be the wrong one. Frames without registrations of high confidence, and series
    without, take the others.
    """
    high = np.where(confidence < MIN_CONFIDENCE, 0, confidence)
    low = confidence + _MIN_WEIGHT
    of_frames = [
        (_sum_by_frame(edges, weights * agrees, n_frames), _sum_by_frame(edges, weights, n_frames))
        for weights in (high, low)
    ]
    share = np.ones(n_frames)
    for agreeing, total in reversed(of_frames):
        np.divide(agreeing, total, out=share, where=total > 0)
    # A single registration agrees with the motion that it alone determines.
    share[_sum_by_frame(edges, np.ones(len(edges)), n_frames) < 2] = 1
    return np.minimum(share, np.average(agrees, weights=high if high.any() else low))


def _closure(
    edges: NDArray[np.intp],
    residual: NDArray[np.float64],
    confidence: NDArray[np.float64],
    n_frames: int,
) -> NDArray[np.float64]:
    """Return the root mean square residual of each frame's registrations, by their confidence."""
    closure = np.full(n_frames, np.nan)
    if len(edges) >= n_frames:
        # Registrations without confidence count for frames that have no others.
        weights = confidence + _UNSURE
        total = _sum_by_frame(edges, weights, n_frames)
        several = _sum_by_frame(edges, np.ones(len(edges)), n_frames) > 1
        squares = _sum_by_frame(edges, weights * residual**2, n_frames)
        np.divide(squares, total, out=closure, where=several)
    return np.sqrt(closure)


def _sum_by_frame(
    edges: NDArray[np.intp], values: NDArray[np.float64], n_frames: int
) -> NDArray[np.float64]:
    """Return the sum over the registrations of each frame."""
    first, second = edges.T
    total = np.bincount(first, values, n_frames) + np.bincount(second, values, n_frames)
    return total.astype(np.float64)
