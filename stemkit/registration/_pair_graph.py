"""Registrations of pairs of a series as a graph: frames are its nodes, and pairs its edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._pair import Registration

# Number of candidates of a pair that are considered; the others are too unlikely.
_N_CANDIDATES = 4
# No registration is more certain than this: structure that both frames share by chance, or a
# pattern of the detector, can't be excluded by two frames alone.
_CERTAIN = 0.999

Edge = tuple[int, int]
# Edges (T, 3) of triangles of frames a < b < c: (a, b), (b, c) and (a, c).
Triangles = NDArray[np.intp]


class PairGraph(NamedTuple):
    """Candidates of all pairs, each pair from the frame of the lower index.

    Attributes
    ----------
    edges : ndarray of shape (n_pairs, 2)
        Indices of the frames.
    matrices : ndarray of shape (n_pairs, n_candidates, 3, 3)
        Motions about the centre; the identity in place of missing candidates.
    probability : ndarray of shape (n_pairs, n_candidates)
        Probability of each candidate, 0 for missing ones.
    """

    edges: NDArray[np.intp]
    matrices: NDArray[np.float64]
    probability: NDArray[np.float64]


def graph_of(registrations: Mapping[Edge, Registration]) -> PairGraph:
    """Return the candidates of registrations as arrays."""
    most = max(len(each.candidates[:_N_CANDIDATES]) for each in registrations.values())
    matrices = np.tile(np.eye(3), (len(registrations), most, 1, 1))
    probability = np.zeros((len(registrations), most))
    edges = np.array(list(registrations), dtype=np.intp)
    for k, registration in enumerate(registrations.values()):
        likeliest = max(registration.candidates[0][1], 1e-9)
        for c, (motion, weight) in enumerate(registration.candidates[:most]):
            matrices[k, c, :2, :2], matrices[k, c, :2, 2] = motion.matrix, motion.drift
            probability[k, c] = registration.confidence * weight / likeliest
    backward = edges[:, 0] > edges[:, 1]
    matrices[backward] = np.linalg.inv(matrices[backward])
    edges[backward] = edges[backward, ::-1]
    return PairGraph(edges, matrices, probability)


def evidence_of(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much speaks against discarding what has this probability.

    It is ``-log(1 - probability)``, so that it adds up over pairs: if all of those that disagree
    with a result are wrong, the product of their ``1 - probability`` is the probability of that.
    """
    return -np.log1p(-np.minimum(probability, _CERTAIN))


def support_of(
    graph: PairGraph, n_frames: int, shape: tuple[int, int], tolerance: float
) -> NDArray[np.float64]:
    """Return the evidence for each candidate of each pair, of shape (n_pairs, n_candidates).

    It is the candidate's own, and that of each way round by a third frame, as far as the triangle
    closes within ``tolerance``: the root mean square distance of the corners of frames of ``shape``
    in px.
    """
    support = evidence_of(graph.probability)
    # The corners are at plus and minus half a side, so that the mean square of their distances is
    # the sum of the squares of the elements, scaled by these.
    scale = np.array([shape[0] / 2, shape[1] / 2, 1.0])
    scaled = graph.matrices[..., :2, :] * scale
    for triangles in _triangles(graph.edges, n_frames):
        n, m = len(triangles), scaled.shape[1]
        first, second, third = (scaled[triangles[:, k]] for k in range(3))
        linear = graph.matrices[triangles[:, 1], :, :2, :2]
        around = np.einsum("tjpq,tiqr->tijpr", linear, first)
        around[..., 2] += second[:, None, ..., 2]
        around, third = around.reshape(n, m * m, 6), third.reshape(n, m, 6)
        squared = np.sum(around**2, axis=-1)[..., None] + np.sum(third**2, axis=-1)[:, None]
        squared -= 2 * around @ third.swapaxes(1, 2)
        agreement = 1 / (1 + squared.clip(0).reshape(n, m, m, m) / tolerance**2) ** 2
        probability = [graph.probability[triangles[:, k]] for k in range(3)]
        shaped = [
            probability[0][:, :, None, None],
            probability[1][:, None, :, None],
            probability[2][:, None, None, :],
        ]
        for side in range(3):
            others = [shaped[k] for k in range(3) if k != side]
            axes = tuple(1 + k for k in range(3) if k != side)
            vote = (evidence_of(others[0] * others[1]) * agreement).max(axis=axes)
            # Of two candidates that agree with nothing, the likelier one remains so.
            vote *= probability[side] > 0
            np.add.at(support, triangles[:, side], vote)
    return support


def _triangles(edges: NDArray[np.intp], n_frames: int) -> Iterator[Triangles]:
    """Find all triangles of pairs, by their first frame."""
    key = edges[:, 0] * n_frames + edges[:, 1]
    keys, index = np.unique(key, return_index=True)
    starts = np.searchsorted(keys, np.arange(n_frames + 1) * n_frames)
    for a in range(n_frames):
        ends = keys[starts[a] : starts[a + 1]] - a * n_frames
        i, j = np.triu_indices(len(ends), 1)
        opposite = ends[i] * n_frames + ends[j]
        place = np.minimum(np.searchsorted(keys, opposite), len(keys) - 1)
        closed = keys[place] == opposite
        if closed.any():
            of_a = index[starts[a] : starts[a + 1]]
            yield np.stack([of_a[i], index[place], of_a[j]], axis=1)[closed]


def place_along_tree(
    graph: PairGraph, support: NDArray[np.float64], n_frames: int, reference: int
) -> NDArray[np.float64]:
    """Place the frames one by one, by the best supported registration to a placed frame.

    Frames without a chain of registrations to the ``reference`` are left unmoved.
    """
    placed = np.tile(np.eye(3), (n_frames, 1, 1))
    neighbours = _neighbours(graph.edges, n_frames)
    best = support.argmax(axis=1)
    strength = support.max(axis=1)
    done = {reference}
    reachable = [(-strength[k], k, reference, other) for k, other in neighbours[reference]]
    reachable.sort()
    while reachable:
        _, k, start, end = heappop(reachable)
        if end in done:
            continue
        matrix = graph.matrices[k, best[k]]
        step = matrix if start < end else np.linalg.inv(matrix)
        placed[end] = step @ placed[start]
        done.add(end)
        for edge, other in neighbours[end]:
            if other not in done:
                heappush(reachable, (-strength[edge], edge, end, other))
    return placed


def likeliest_chain(
    edges: NDArray[np.intp], probability: NDArray[np.float64], n_frames: int, reference: int
) -> NDArray[np.float64]:
    """Return the probability of the likeliest chain of registrations from a frame to each."""
    chain = np.zeros(n_frames)
    neighbours = _neighbours(edges, n_frames)
    reachable = [(-1.0, reference)]
    done: set[int] = set()
    while reachable:
        negative, frame = heappop(reachable)
        if frame in done:
            continue
        done.add(frame)
        chain[frame] = -negative
        for k, other in neighbours[frame]:
            if other not in done and probability[k] > 0:
                heappush(reachable, (negative * float(probability[k]), other))
    return chain


def _neighbours(edges: NDArray[np.intp], n_frames: int) -> list[list[tuple[int, int]]]:
    """Return the pairs of each frame, and the other frame of each pair."""
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(n_frames)]
    for k, (i, j) in enumerate(edges.tolist()):
        neighbours[i].append((k, j))
        neighbours[j].append((k, i))
    return neighbours
