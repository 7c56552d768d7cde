"""The evidence for candidates of pairs, the first placement, and chains of registrations."""

from itertools import combinations

import numpy as np
import pytest

from stemkit.registration import Motion, Registration
from stemkit.registration._pair_graph import (
    PairGraph,
    evidence_of,
    graph_of,
    likeliest_chain,
    place_along_tree,
    support_of,
)


def _translations(*drifts):
    matrices = np.tile(np.eye(3), (len(drifts), 1, 1))
    matrices[:, :2, 2] = drifts
    return matrices


@pytest.mark.parametrize("tolerance", [0.5, 2.0])
@pytest.mark.parametrize("off", [0.0, 1.0, 2.0])
def test_a_triangle_supports_its_sides_by_how_well_it_closes(tolerance, off):
    # The way round is as likely as both of its sides, times the squared Cauchy weight.
    matrices = np.stack(
        [
            _translations((3, 1), (0, 0)),
            _translations((2, -4), (0, 0)),
            _translations((5, -3 + off * tolerance), (90, 90)),
        ]
    )
    graph = PairGraph(
        np.array([(0, 1), (1, 2), (0, 2)]), matrices, np.array([[0.8, 0], [0.6, 0], [0.5, 0.4]])
    )
    support = support_of(graph, 3, (20, 30), tolerance)
    agreement = 1 / (1 + off**2) ** 2
    for k, (own, others) in enumerate([(0.8, 0.6 * 0.5), (0.6, 0.8 * 0.5), (0.5, 0.8 * 0.6)]):
        expected = -np.log(1 - own) - np.log(1 - others) * agreement
        np.testing.assert_allclose(support[k, 0], expected, rtol=1e-3)
    np.testing.assert_allclose(support[:2, 1], 0)
    np.testing.assert_allclose(support[2, 1], -np.log(0.6), rtol=1e-2)


def test_a_triangle_that_turns_does_not_close():
    # A rotation moves the corners, though the drifts agree.
    shape, angle = (60, 80), 0.1
    turned = Motion.from_parameters(shape, rotation=angle).matrix
    matrices = np.tile(np.eye(3), (3, 1, 1, 1))
    matrices[2, 0, :2, :2] = turned
    graph = PairGraph(np.array([(0, 1), (1, 2), (0, 2)]), matrices, np.full((3, 1), 0.8))
    chord = 2 * np.sin(angle / 2) * np.hypot(*shape) / 2
    vote = support_of(graph, 3, shape, 2.0)[:, 0] + np.log(1 - 0.8)
    np.testing.assert_allclose(vote, -np.log(1 - 0.64) / (1 + chord**2 / 4) ** 2, rtol=1e-6)


def test_every_triangle_is_found_once():
    # With sides of one probability and no error, each adds the same.
    n_frames = 7
    rng = np.random.default_rng(0)
    edges = [pair for pair in combinations(range(n_frames), 2) if rng.random() < 0.8]
    p = 0.5
    closed = [
        {a, b, c}
        for a, b, c in combinations(range(n_frames), 3)
        if {(a, b), (b, c), (a, c)} <= set(edges)
    ]
    count = [sum(set(edge) <= triangle for triangle in closed) for edge in edges]
    assert 5 < len(closed) < 30
    order = rng.permutation(len(edges))
    graph = PairGraph(
        np.array(edges)[order],
        np.tile(np.eye(3), (len(edges), 1, 1, 1)),
        np.full((len(edges), 1), p),
    )
    support = support_of(graph, n_frames, (20, 30), 1.0)[:, 0]
    expected = -np.log(1 - p) - np.array(count)[order] * np.log(1 - p * p)
    np.testing.assert_allclose(support, expected)


@pytest.mark.parametrize("weight", [1e-3, 0.5, 1.0])
def test_the_likeliest_candidate_has_the_confidence_of_its_pair(weight):
    motions = [Motion((20, 30), drift=(i, 2 * i)) for i in range(3)]
    found = Registration(
        motions[0], 0.8, tuple(zip(motions, (weight, weight / 2, weight / 4), strict=True)), 0.9
    )
    graph = graph_of({(0, 1): found})
    np.testing.assert_allclose(graph.probability, [[0.8, 0.4, 0.2]])
    np.testing.assert_allclose(graph.matrices[0, :, :2, 2], [[0, 0], [1, 2], [2, 4]])


def test_pairs_of_reverse_order_are_inverted():
    motion = Motion.from_parameters((20, 30), drift=(3, -2), rotation=0.1)
    found = Registration(motion, 0.8, ((motion, 1.0),), 0.9)
    forward, backward = graph_of({(2, 5): found}), graph_of({(5, 2): found})
    assert forward.edges.tolist() == backward.edges.tolist() == [[2, 5]]
    product = forward.matrices[0, 0] @ backward.matrices[0, 0]
    np.testing.assert_allclose(product, np.eye(3), atol=1e-12)


def test_the_evidence_of_independent_pairs_adds_up():
    # Ten pairs of .5 that are all wrong are as unlikely as one of 1 - 1/1024 that is wrong.
    np.testing.assert_allclose(10 * evidence_of(np.array(0.5)), -np.log(1 / 1024))
    assert evidence_of(np.array(0.0)) == 0
    assert np.isfinite(evidence_of(np.array(1.0)))


def test_frames_are_placed_by_their_best_supported_pairs():
    edges = np.array([(0, 1), (0, 2), (1, 2), (3, 4)])
    matrices = _translations((1, 0), (9, 9), (2, 0), (5, 5))[:, None]
    graph = PairGraph(edges, matrices, np.full((4, 1), 0.5))
    support = np.array([[3.0], [1.0], [2.0], [4.0]])
    for reference, expected in (
        (0, [0, 1, 3, 0, 0]),
        (2, [-3, -2, 0, 0, 0]),
        (4, [0, 0, 0, -5, 0]),
    ):
        placed = place_along_tree(graph, support, 5, reference)
        np.testing.assert_allclose(placed[:, 0, 2], expected)


def test_a_chain_is_as_likely_as_all_of_its_pairs():
    edges = np.array([(0, 1), (1, 2), (0, 2), (2, 3), (4, 5)])
    probability = np.array([0.9, 0.8, 0.5, 0.7, 0.9])
    chain = likeliest_chain(edges, probability, 6, 0)
    np.testing.assert_allclose(chain, [1, 0.9, 0.72, 0.72 * 0.7, 0, 0])
    chain = likeliest_chain(edges, probability, 6, 3)
    np.testing.assert_allclose(chain, [0.7 * 0.72, 0.56, 0.7, 1, 0, 0])
