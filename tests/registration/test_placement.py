"""Placements of all frames by weighted least squares, against a dense solution."""

from itertools import combinations

import numpy as np
import pytest

from stemkit.registration._placement import solve_placements


def _problem(n_frames, seed):
    rng = np.random.default_rng(seed)
    edges = np.array(list(combinations(range(n_frames), 2)))
    matrices = np.tile(np.eye(3), (len(edges), 1, 1))
    matrices[:, :2, :2] += rng.normal(0, 0.05, (len(edges), 2, 2))
    matrices[:, :2, 2] = rng.normal(0, 10, (len(edges), 2))
    return edges, matrices, rng.uniform(0.01, 1, len(edges))


def _dense(edges, matrices, weights, n_frames, reference):
    left = np.zeros((2 * len(edges), 2 * n_frames))
    right = np.zeros((2 * len(edges), 3))
    for k, (i, j) in enumerate(edges):
        rows, root = slice(2 * k, 2 * k + 2), np.sqrt(weights[k])
        left[rows, 2 * j : 2 * j + 2] = root * np.eye(2)
        left[rows, 2 * i : 2 * i + 2] = -root * matrices[k, :2, :2]
        right[rows, 2] = root * matrices[k, :2, 2]
    known = slice(2 * reference, 2 * reference + 2)
    right -= left[:, known] @ np.eye(2, 3)
    rest = np.linalg.lstsq(np.delete(left, known, axis=1), right, rcond=None)[0]
    return np.insert(rest.reshape(-1, 2, 3), reference, np.eye(2, 3), axis=0)


@pytest.mark.parametrize("reference", [0, 2, 5])
def test_the_solution_is_that_of_dense_least_squares(reference):
    problem = _problem(6, reference)
    placed = solve_placements(*problem, 6, reference)
    np.testing.assert_allclose(placed[:, :2], _dense(*problem, 6, reference), atol=1e-9)
    np.testing.assert_array_equal(placed[reference], np.eye(3))


def test_a_part_that_is_held_by_negligible_weights_is_placed_by_them():
    edges, matrices, weights = _problem(6, 1)
    weights[(edges[:, 0] < 3) & (edges[:, 1] >= 3)] *= 1e-9
    placed = solve_placements(edges, matrices, weights, 6, 0)
    np.testing.assert_allclose(placed[:, :2], _dense(edges, matrices, weights, 6, 0), atol=1e-4)


def test_frames_without_a_chain_to_the_reference_are_left_unmoved():
    edges, matrices, weights = _problem(6, 2)
    linked = (edges < 3).all(axis=1) | (edges >= 3).all(axis=1)
    placed = solve_placements(edges[linked], matrices[linked], weights[linked], 6, 4)
    np.testing.assert_array_equal(placed[:3], np.tile(np.eye(3), (3, 1, 1)))
    assert (np.hypot(*placed[[3, 5], :2, 2].T) > 1).all()
    alone = solve_placements(edges[:1], matrices[:1], weights[:1], 6, 4)
    np.testing.assert_array_equal(alone, np.tile(np.eye(3), (6, 1, 1)))
