"""Parts of a frame that hold no data, told from single bad pixels, rows and columns."""

import numpy as np
import pytest

from stemkit._missing import bin_missing, missing_regions


def bad_at(*places, shape=(40, 48)):
    bad = np.zeros(shape, bool)
    for place in places:
        bad[place] = True
    return bad


@pytest.mark.parametrize(
    "bad",
    [
        bad_at((10, 20)),
        bad_at((slice(10, 12), slice(20, 23))),
        bad_at(np.s_[7]),
        bad_at(np.s_[:, 0]),
        bad_at(np.s_[:, 20:24], np.s_[18:22]),  # the gap between four chips
        np.random.default_rng(0).random((40, 48)) < 0.1,
        bad_at(),
    ],
    ids=["pixel", "few pixels", "row", "column at the border", "gaps", "scattered", "none"],
)
def test_what_is_filled_from_neighbours_is_no_region(bad):
    assert not missing_regions(bad).any()


@pytest.mark.parametrize(
    "part",
    [np.s_[30:], np.s_[:4], np.s_[:, :9], np.s_[10:15, 20:25], np.s_[20:33, 5:40]],
    ids=["stopped", "few rows at the border", "left", "smallest", "inside"],
)
def test_large_parts_are_regions_beside_single_pixels(part):
    singles = bad_at((17, 2), (24, 44))
    singles[part] = False
    found = missing_regions(bad_at(part) | singles)
    np.testing.assert_array_equal(found, bad_at(part))


def test_a_round_part_is_a_region_to_its_edge():
    y, x = np.indices((40, 48))
    disc = np.hypot(y - 18, x - 20) < 9
    np.testing.assert_array_equal(missing_regions(disc), disc)


def test_frames_of_a_stack_are_looked_at_one_by_one():
    stack = np.stack([bad_at(np.s_[30:]), bad_at((3, 3))])
    np.testing.assert_array_equal(missing_regions(stack), [stack[0], bad_at()])
    np.testing.assert_array_equal(missing_regions(stack[np.newaxis])[0], missing_regions(stack))


def test_a_block_lacks_data_with_a_part_of_a_region_or_half_of_its_pixels():
    missing = bad_at(np.s_[31:], (0, 0), (4, 4), (4, 5), (5, 4), (5, 5), (4, 6), (4, 7), (5, 6))
    missing[5, 7] = True
    binned = bin_missing(missing, 4)
    assert binned.shape == (10, 12)
    expected = np.zeros((10, 12), bool)
    expected[7:] = True  # row 31 is in the eighth row of blocks
    expected[1, 1] = True  # eight pixels of sixteen
    np.testing.assert_array_equal(binned, expected)
    assert bin_missing(missing, 1) is missing
