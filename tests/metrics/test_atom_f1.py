import numpy as np
import pandas as pd
import pytest

from stemkit.datasets import make_nucleation
from stemkit.metrics import atom_f1, atom_score

TRUE = [[[5, 5], [9, 9]], [], [[3, 4]]]
FOUND = [[[5, 6]], [[1, 1]], [[3, 4]]]


def as_table(positions):
    rows = [(frame, *point) for frame, points in enumerate(positions) for point in points]
    return pd.DataFrame(rows, columns=["frame", "y", "x"])


def test_it_is_the_f1_of_all_atoms():
    expected = atom_score(as_table(TRUE), as_table(FOUND), tolerance=2).f1
    assert expected == pytest.approx(2 * 2 / (3 + 3))
    assert atom_f1(TRUE, FOUND) == expected
    assert atom_f1(as_table(TRUE), as_table(FOUND)) == expected
    assert atom_f1(TRUE, as_table(FOUND)) == expected
    assert atom_f1([pd.DataFrame(p, columns=["y", "x"]) for p in TRUE], FOUND) == expected
    assert atom_f1(TRUE, FOUND, tolerance=0.5) == pytest.approx(2 * 1 / (3 + 3))
    assert atom_f1([[], []], [[], []]) == 1


def test_dot_maps_are_their_atoms():
    data = make_nucleation(2, (64, 64), mask_threshold=0.0, random_state=0)
    positions = [
        group[["y", "x"]].query("1 < y < 62 and 1 < x < 62").to_numpy()
        for _, group in data.positions.groupby("frame")
    ]
    assert atom_f1(data.target, data.target) == 1
    assert atom_f1(positions, data.target, tolerance=1) > 0.9  # atoms at the border differ
    assert atom_f1(data.target / 255, data.target, data_range=1) > 0.9
    assert atom_f1(data.target, 0 * data.target) == 0


@pytest.mark.parametrize(
    "true, found, message",
    [
        (TRUE, FOUND[:2], "y_pred is of 2 frames, but y_true of 3"),
        (np.array(1.0), FOUND, "y_true must be dot maps"),
        ([[1, 2, 3]], [[]], r"y_true\[0\] has shape \(3,\)"),
        (as_table(TRUE)[["y", "x"]], FOUND, "y_true has no column 'frame'"),
        (np.full((1, 8, 8), np.nan), FOUND[:1], "y_true contains NaN"),
    ],
)
def test_bad_input_is_named(true, found, message):
    with pytest.raises(ValueError, match=message):
        atom_f1(true, found)
    with pytest.raises(ValueError, match=r"^data_range must be a finite number in"):
        atom_f1(TRUE, FOUND, data_range=0)


def test_dots_above_half_of_the_data_range_are_atoms():
    dots = np.zeros((1, 12, 12))
    dots[0, 3, 3] = 130
    faint = dots.copy()
    faint[0, 8, 8] = 125
    assert atom_f1(dots, faint) == 1
    assert atom_f1(dots / 255, faint / 255, data_range=1.0) == 1
    assert atom_f1(dots, faint, data_range=240.0) == pytest.approx(2 / 3)
