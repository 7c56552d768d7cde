"""One motion for each frame, from registrations of many pairs of frames."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._constraints import Interval, Sequence, check_arguments, check_value
from .._motion import Motion
from ._pair import MIN_CONFIDENCE, Registration

# Residual in px, plus a share of the frame's side, at which the weight of a registration is halved.
_TOLERANCE_PX = 0.5
_TOLERANCE_SHARE = 0.002
# Registrations without confidence keep this weight, for frames that have no others.
_MIN_WEIGHT = 1e-3
# Number of candidates of a pair that are considered; the others are too unlikely.
_N_CANDIDATES = 4
_MAX_ROUNDS = 30


class Trajectory(NamedTuple):
    """Motion of each frame of a series.

    Attributes
    ----------
    motions : list of Motion
        From the first frame to each; the first is the identity.
    closure : ndarray of shape (n_frames,)
        Root mean square difference between ``motions`` and the registrations of each frame, in px,
        over those of high confidence, wrong ones included. NaN for frames that are in no closed
        loop of registrations.
    confidence : ndarray of shape (n_frames,)
        Probability of the likeliest chain of registrations from the first frame, times the share
        of registrations that agree; 0 for frames without a chain to the first.
    """

    motions: list[Motion]
    closure: NDArray[np.float64]
    confidence: NDArray[np.float64]


Edge = tuple[int, int]
# Candidates of each pair, as 3 x 3 matrices about the centre, each with its probability.
Candidates = dict[Edge, list[tuple[NDArray[np.float64], float]]]


@check_arguments(registrations=[Mapping], n_frames=[Interval(int, 1, None)])
def reconcile(registrations: Mapping[Edge, Registration], n_frames: int) -> Trajectory:
    """Find the motions that agree best with the registrations of many pairs of frames.

    This is weighted least squares over all pairs. The weights fall with the residual, and the
    candidates are chosen so that loops close: a pair that is wrong, or off by a lattice vector,
    has no influence.

    Parameters
    ----------
    registrations : mapping of (i, j) to Registration
        Registration of frame i to frame j, for any number of pairs.
    n_frames : int
        Number of frames.

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
        If there is no registration, one is of a frame that doesn't exist, or frames differ in
        shape.

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
    shape = _check(registrations, n_frames)
    corners = np.array([[y, x, 1.0] for y in (-0.5, 0.5) for x in (-0.5, 0.5)]).T
    corners[:2] *= np.array(shape)[:, None]
    tolerance = _TOLERANCE_PX + _TOLERANCE_SHARE * max(shape)
    edges = list(registrations)
    candidates = {edge: _candidates(registrations[edge]) for edge in edges}

    support = _support(candidates, n_frames, tolerance)
    chosen: dict[Edge, int] = {}
    placed = _place_along_tree(candidates, support, n_frames)
    residual = np.zeros(len(edges))
    probability = np.zeros(len(edges))
    before: tuple[int, ...] | None = None
    for _ in range(_MAX_ROUNDS):
        weights = np.zeros(len(edges))
        for k, edge in enumerate(edges):
            i, j = edge
            distances = [_distance(m @ placed[i] - placed[j], corners) for m, _ in candidates[edge]]
            plausibility = [
                p / (1 + (r / tolerance) ** 2)
                for r, (_, p) in zip(distances, candidates[edge], strict=True)
            ]
            best = int(np.argmax(plausibility))
            chosen[edge] = best
            residual[k], probability[k] = distances[best], candidates[edge][best][1]
            # The square of Cauchy's weight, which outliers do not influence (Geman and McClure).
            cauchy = 1 + (residual[k] / tolerance) ** 2
            weights[k] = max(probability[k], _MIN_WEIGHT) / cauchy**2
        solved = _solve(candidates, chosen, edges, weights, n_frames)
        change = max(_distance(new - old, corners) for new, old in zip(solved, placed, strict=True))
        placed = solved
        state = tuple(chosen.values())
        if change < 1e-3 and state == before:
            break
        before = state

    agreement = 1 / (1 + (residual / tolerance) ** 2)
    motions = [Motion(shape, m[:2, 2], m[:2, :2]) for m in placed]
    if all(_is_rigid(r.motion) for r in registrations.values()):
        motions = [
            Motion.from_parameters(shape, drift=m.drift, rotation=m.rotation) for m in motions
        ]
    confidence = np.array([registrations[edge].confidence for edge in edges])
    consistency, closure = _loop_consistency(edges, residual, confidence, tolerance, n_frames)
    chain = _likeliest_chain(edges, probability * agreement, n_frames)
    return Trajectory(motions, closure, consistency * chain)


def _check(registrations: Mapping[Edge, Registration], n_frames: int) -> tuple[int, int]:
    if not registrations:
        raise ValueError("registrations is empty; register at least one pair of frames.")
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


def _candidates(registration: Registration) -> list[tuple[NDArray[np.float64], float]]:
    """Return the candidates as 3 x 3 matrices about the centre, each with its probability."""
    candidates = []
    likeliest = max(registration.candidates[0][1], 1e-9)
    for motion, weight in registration.candidates[:_N_CANDIDATES]:
        matrix = np.eye(3)
        matrix[:2, :2], matrix[:2, 2] = motion.matrix, motion.drift
        candidates.append((matrix, registration.confidence * weight / likeliest))
    return candidates


def _support(
    candidates: Candidates, n_frames: int, tolerance: float
) -> dict[Edge, NDArray[np.float64]]:
    """Return the support of each candidate of each pair, from triangles of pairs that close."""
    support = {edge: np.array([0.1 * p for _, p in found]) for edge, found in candidates.items()}
    for a, b, c in combinations(range(n_frames), 3):
        sides = [_oriented(candidates, pair) for pair in ((a, b), (b, c), (a, c))]
        if any(not side for side in sides):
            continue
        shapes = [len(side) for side in sides]
        first, second, third = (np.stack([m for m, _ in side]) for side in sides)
        difference = np.einsum("jpq,iqr->ijpr", second, first)[:, :, None] - third[None, None]
        distance = np.hypot(difference[..., 0, 2], difference[..., 1, 2])
        probability = np.ones(shapes)
        for axis, side in enumerate(sides):
            probability = probability * np.expand_dims(
                [p for _, p in side], tuple({0, 1, 2} - {axis})
            )
        vote = probability / (1 + (distance / tolerance) ** 2) ** 2
        for axis, pair in enumerate(((a, b), (b, c), (a, c))):
            edge = pair if pair in support else pair[::-1]
            support[edge] += vote.max(axis=tuple({0, 1, 2} - {axis}))
    return support


def _oriented(candidates: Candidates, pair: Edge) -> list[tuple[NDArray[np.float64], float]]:
    """Return the candidates of a pair in either order, inverted if they are of the other order."""
    if pair in candidates:
        return candidates[pair]
    return [(np.linalg.inv(m).astype(np.float64), p) for m, p in candidates.get(pair[::-1], [])]


def _place_along_tree(
    candidates: Candidates, support: dict[Edge, NDArray[np.float64]], n_frames: int
) -> list[NDArray[np.float64]]:
    """Place the frames one by one, by the best supported registration to a placed frame."""
    placed: dict[int, NDArray[np.float64]] = {0: np.eye(3)}
    while True:
        reachable = [
            (float(votes.max()), edge)
            for edge, votes in support.items()
            if (edge[0] in placed) != (edge[1] in placed)
        ]
        if not reachable:
            # Frames without a chain of registrations to the first are left unmoved.
            return [placed.get(i, np.eye(3)) for i in range(n_frames)]
        _, (i, j) = max(reachable)
        matrix = candidates[i, j][int(support[i, j].argmax())][0]
        if i in placed:
            placed[j] = matrix @ placed[i]
        else:
            placed[i] = np.linalg.inv(matrix) @ placed[j]


def _solve(
    candidates: Candidates,
    chosen: dict[Edge, int],
    edges: list[Edge],
    weights: NDArray[np.float64],
    n_frames: int,
) -> list[NDArray[np.float64]]:
    """Solve ``placed[j] = candidate[i, j] @ placed[i]`` for all pairs by weighted least squares.

    The equations are the same for each column of the placements, so linear parts and drifts are
    solved together.
    """
    left = np.zeros((2 * len(edges), 2 * n_frames))
    right = np.zeros((2 * len(edges), 3))
    for k, (i, j) in enumerate(edges):
        matrix = candidates[i, j][chosen[i, j]][0]
        rows = slice(2 * k, 2 * k + 2)
        root = np.sqrt(weights[k])
        left[rows, 2 * j : 2 * j + 2] = root * np.eye(2)
        left[rows, 2 * i : 2 * i + 2] = -root * matrix[:2, :2]
        right[rows, 2] = root * matrix[:2, 2]
    identity = np.eye(2, 3)
    right -= left[:, :2] @ identity
    rest = np.linalg.lstsq(left[:, 2:], right, rcond=1e-9)[0].reshape(n_frames - 1, 2, 3)
    # Frames without a chain to the first have no equation and are left unmoved.
    rest[np.abs(rest).max(axis=(1, 2)) < 1e-6] = identity
    last = np.array([[0.0, 0.0, 1.0]])
    return [np.eye(3), *(np.vstack([part, last]) for part in rest)]


def _distance(difference: NDArray[np.float64], corners: NDArray[np.float64]) -> float:
    """Return the root mean square distance between two placements of the frame's corners."""
    return float(np.sqrt(np.mean(np.sum((difference @ corners)[:2] ** 2, axis=0))))


def _is_rigid(motion: Motion) -> bool:
    return bool(np.allclose(motion.matrix @ motion.matrix.T, np.eye(2), atol=1e-9))


def _likeliest_chain(
    edges: list[Edge], probability: NDArray[np.float64], n_frames: int
) -> NDArray[np.float64]:
    """Return the probability of the likeliest chain of registrations from the first frame."""
    confidence = np.zeros(n_frames)
    confidence[0] = 1.0
    for _ in range(n_frames - 1):
        for (i, j), p in zip(edges, probability, strict=True):
            confidence[j] = max(confidence[j], p * confidence[i])
            confidence[i] = max(confidence[i], p * confidence[j])
    return confidence


def _weighted_mean(values: NDArray, confidence: NDArray[np.float64]) -> float:
    """Average over registrations of high confidence, or over all if there are none."""
    weights = np.where(confidence < MIN_CONFIDENCE, 0, confidence)
    if not weights.any():
        weights = confidence + _MIN_WEIGHT
    return float(np.average(values, weights=weights))


def _loop_consistency(
    edges: list[Edge],
    residual: NDArray[np.float64],
    confidence: NDArray[np.float64],
    tolerance: float,
    n_frames: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of registrations that agree with the motions, and the closure.

    Both are of each frame. The share is that of the frame's own registrations or of all, whichever
    is less: any registration in a loop that does not close may be the wrong one.
    """
    consistency, closure = np.ones(n_frames), np.full(n_frames, np.nan)
    for frame in range(n_frames):
        own = np.array([k for k, edge in enumerate(edges) if frame in edge], dtype=int)
        if len(own) > 1:
            consistency[frame] = _weighted_mean(residual[own] < tolerance, confidence[own])
            if len(edges) >= n_frames:
                closure[frame] = np.sqrt(_weighted_mean(residual[own] ** 2, confidence[own]))
    consistency = np.minimum(consistency, _weighted_mean(residual < tolerance, confidence))
    consistency[0] = 1  # all motions are relative to the first frame
    return consistency, closure
