import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stemkit.metrics import atom_score

positions = st.integers(0, 5).flatmap(
    lambda n: arrays(float, (n, 2), elements=st.integers(0, 12).map(lambda v: v / 2))
)


def best_by_trying_all(true, found, tolerance):
    """The largest number of pairs, and the least sum of squares, of all one-to-one matchings."""
    distance = np.hypot(*(true[:, None] - found[None]).transpose(2, 0, 1))
    best = (0, 0.0)
    # Each true position is paired with a found one or with none.
    for choice in itertools.product(range(-1, len(found)), repeat=len(true)):
        taken = [(i, j) for i, j in enumerate(choice) if j >= 0]
        partners = [j for _, j in taken]
        if len(set(partners)) < len(partners):
            continue
        if all(distance[pair] <= tolerance for pair in taken):
            best = max(best, (len(taken), -sum(distance[pair] ** 2 for pair in taken)))
    return best[0], -best[1]


@given(positions, positions, st.sampled_from([0.6, 1.2, 2.1, 20.0]))
def test_matching_is_optimal(true, found, tolerance):
    score = atom_score(true, found, tolerance=tolerance)
    n, squares = best_by_trying_all(true, found, tolerance)
    assert len(score.matches) == n
    assert (score.matches["distance"] ** 2).sum() == pytest.approx(squares, abs=1e-9)
    assert score.matches["true"].is_unique
    assert score.matches["found"].is_unique
    assert score.missed == len(true) - n
    assert score.extra == len(found) - n
    if n:
        assert score.precision == n / len(found)
        assert score.recall == n / len(true)
        assert score.f1 == pytest.approx(
            2 * score.precision * score.recall / (score.precision + score.recall)
        )
        assert score.rms_error == pytest.approx(np.sqrt(squares / n))
    # Found and true positions are swapped.
    swapped = atom_score(found, true, tolerance=tolerance)
    assert (swapped.precision, swapped.recall) == (score.recall, score.precision)
    assert swapped.rms_error == pytest.approx(score.rms_error, nan_ok=True)


@given(positions, positions, st.randoms())
def test_order_does_not_matter(true, found, random):
    before = atom_score(true, found, tolerance=1.2)
    random.shuffle(order := list(range(len(found))))
    after = atom_score(true, found[order], tolerance=1.2)
    for name in ("precision", "recall", "f1", "missed", "extra"):
        assert after[name] == before[name]
    assert after.rms_error == pytest.approx(before.rms_error, nan_ok=True)


def test_more_pairs_go_before_shorter_ones():
    # The nearest pair, (1, 0), would leave the other two positions without a match.
    score = atom_score([[0, 0], [0, 2]], [[0, 1.5], [0, 3.4]], tolerance=1.6)
    assert score.matches[["true", "found"]].to_numpy().tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("true", "found", "expected"),
    [
        ([], [], (1, 1, 1)),
        ([[1, 1]], [], (0, 0, 0)),
        ([], [[1, 1]], (0, 0, 0)),
        ([[1, 1]], [[8, 8]], (0, 0, 0)),
    ],
)
def test_where_nothing_matches(true, found, expected):
    score = atom_score(true, found, tolerance=2)
    assert (score.precision, score.recall, score.f1) == expected
    assert np.isnan(score.rms_error)
    assert (score.missed, score.extra, score.merged) == (len(true), len(found), 0)
    assert list(score.matches) == ["true", "found", "distance"]


def test_merged_counts_one_detection_at_two_atoms():
    true = [[5, 5], [5, 7], [20, 20], [30, 30]]
    found = [[5, 6], [20, 20.5], [40, 40]]
    score = atom_score(true, found, tolerance=1.5)
    assert (score.missed, score.extra, score.merged) == (2, 1, 1)


def table(points, frame):
    return pd.DataFrame({"frame": frame, "y": points[:, 0], "x": points[:, 1]})


def test_frames_are_matched_each_by_itself():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 7, 200) * 10
    true = table(rng.uniform(0, 30, (200, 2)), frame)
    found = table(true[["y", "x"]].to_numpy() + rng.normal(0, 0.8, (200, 2)), frame)
    found = found.sample(frac=0.8, random_state=1).reset_index(drop=True)
    score = atom_score(true, found, tolerance=1.5)
    each = [
        atom_score(true[true["frame"] == f], found[found["frame"] == f], tolerance=1.5)
        for f in np.unique(frame)
    ]
    for name in ("missed", "extra", "merged"):
        assert score[name] == sum(part[name] for part in each)
    squares = sum((part.matches["distance"] ** 2).sum() for part in each)
    assert (score.matches["distance"] ** 2).sum() == pytest.approx(squares)
    same = true["frame"].to_numpy()[score.matches["true"]]
    assert (same == found["frame"].to_numpy()[score.matches["found"]]).all()
    # With all positions in one frame the result differs.
    crowded = atom_score(true[["y", "x"]], found[["y", "x"]], tolerance=1.5)
    assert crowded.missed < score.missed


def test_tolerance_in_angstrom():
    true, found = [[0.0, 0.0], [10.0, 10.0]], [[0.0, 1.0], [10.0, 13.0]]
    in_pixels = atom_score(true, found, tolerance=2)
    in_angstrom = atom_score(true, found, tolerance=0.4, pixel_size=0.02)
    assert in_pixels.f1 == in_angstrom.f1 == 0.5
    assert in_pixels.rms_error == pytest.approx(1)
    assert in_angstrom.rms_error == pytest.approx(0.2)


def test_many_frames_need_no_dense_matrix():
    rng = np.random.default_rng(3)
    frame = rng.integers(0, 4096, 40_000)
    true = table(rng.uniform(0, 64, (40_000, 2)), frame)
    score = atom_score(true, true, tolerance=3)
    assert score.f1 == 1
    assert score.rms_error == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tolerance": 0}, "^tolerance must be a finite number in"),
        ({"pixel_size": -1}, "^pixel_size must be a finite number in"),
        ({"found_positions": [[1, 2, 3]]}, r"found_positions has shape \(1, 3\)"),
        ({"true_positions": [[1, np.nan]]}, "^true_positions holds NaN"),
        ({"true_positions": [[1, 1e30]]}, "^true_positions holds NaN, inf or more than"),
        ({"true_positions": [[1j, 1]]}, "^true_positions has dtype complex128"),
        ({"true_positions": [["a", "b"]]}, "^true_positions has dtype"),
        (
            {"true_positions": pd.DataFrame({"frame": [np.nan], "y": [1], "x": [2]})},
            "^true_positions lacks some atoms' frame",
        ),
        (
            {
                "true_positions": pd.DataFrame({"frame": ["a"], "y": [1], "x": [2]}, dtype=object),
                "found_positions": pd.DataFrame({"frame": [0], "y": [1], "x": [2]}),
            },
            "^true_positions has dtype object|frames of different types",
        ),
        ({"true_positions": pd.DataFrame({"X": [1], "y": [2]})}, "lacks column.* x;"),
        (
            {"true_positions": pd.DataFrame({"frame": [0], "y": [1], "x": [2]})},
            "found_positions has no column 'frame'",
        ),
    ],
)
def test_bad_input_is_named(change, message):
    good = {"true_positions": [[1, 2]], "found_positions": [[1, 2]], "tolerance": 1}
    with pytest.raises(ValueError, match=message):
        atom_score(**good | change)
