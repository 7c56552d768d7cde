"""Tests of the parts at the edges of a frame that are no image."""

import numpy as np
import pytest

from stemkit._bad_pixels import find_no_image
from stemkit._edges import Edges, find_data_bar, find_edges, find_unrecorded
from stemkit.datasets import make_crystal_images, make_damage_sequence

DOSES = pytest.mark.parametrize("dose", [0.1, 0.3, 1, 3, 30, 300])


def counts(dose, seed=0, side=128):
    """Return counts of a crystal, at the dose of its brightest pixel."""
    clean = make_crystal_images("SrTiO3", 1, shape=(side, side), random_state=seed).frames[0]
    return np.random.default_rng(seed).poisson(dose * clean / clean.max()).astype("f4")


def with_letters(frame, height, background, letter, top=False):
    """Write strokes of 3 px into a bar at the bottom or the top."""
    frame = frame.copy()
    bar = frame[:height] if top else frame[-height:]
    bar[:] = background
    for x in range(6, frame.shape[1] // 2, 9):
        bar[2:-2, x : x + 3] = letter
    return frame


def and_equal_rows(frame, n):
    """Return the number of rows at the bottom that equal the lowest of the image, and more."""
    return n + int(np.argmax((frame[: len(frame) - n][::-1] != frame[-1, -1]).any(axis=1)))


@DOSES
def test_frames_of_few_counts_are_recorded_to_their_edges(dose):
    for seed in range(3):
        assert not find_edges(counts(dose, seed))[0]
        frames = make_damage_sequence(n_frames=2, shape=(96, 96), dose=dose, random_state=seed)
        for frame in frames.frames:
            assert not find_edges(frame)[0]
        vacuum = np.random.default_rng(seed).poisson(dose / 30, (96, 96))
        assert not find_edges(vacuum)[0]


@pytest.mark.parametrize("value", [0, 1, 7.5, 1e9, -3])
@DOSES
def test_rows_and_columns_that_were_not_recorded_are_counted(dose, value):
    frame = counts(dose)
    frame[100:] = value
    n = and_equal_rows(frame, 28)
    assert find_unrecorded(frame) == Edges(bottom=n)
    assert find_unrecorded(frame[::-1]) == Edges(top=n)
    assert find_unrecorded(frame.T) == Edges(right=n)
    frame[:100, :14] = value + 1
    assert find_unrecorded(frame) == Edges(bottom=28, left=14)
    frame = counts(dose) + 1
    frame[:12] = frame[-40:] = value
    if value != 1:
        assert find_unrecorded(frame) == Edges(top=12, bottom=40)


def test_a_single_row_is_told_where_no_other_is_like_it():
    frame = counts(300)
    frame[-1] = 0
    assert find_unrecorded(frame) == Edges(bottom=1)


@pytest.mark.parametrize("top", [False, True])
@pytest.mark.parametrize("background, letter", [(0, 1e4), (1e4, 0), (0, 4000)])
@DOSES
def test_bars_with_letters_are_told_from_few_counts(dose, background, letter, top):
    frame = with_letters(counts(dose), 16, background, letter, top)
    edges, unrecorded, data_bar = find_edges(frame)
    upright = frame[::-1] if top else frame
    n = and_equal_rows(upright, 16)
    assert edges == (Edges(top=n) if top else Edges(bottom=n))
    assert (unrecorded, data_bar) == (0, n)


@pytest.mark.parametrize("value", [0, 1000])
def test_a_part_that_begins_between_the_planes_of_a_lattice_was_not_recorded(value):
    rows = np.exp(-(((np.arange(96) + 6) % 12 - 6.0) ** 2) / 8)
    frame = (60 + 100 * np.outer(rows, rows[:96])).astype("f4")
    frame += np.random.default_rng(0).normal(0, 3, frame.shape).astype("f4")
    for first in range(60, 72):
        cut = frame.copy()
        cut[first:] = value
        assert find_unrecorded(cut) == Edges(bottom=96 - first)


@pytest.mark.parametrize("dose", [0.5, 2, 20])
def test_vacuum_without_counts_is_recorded(dose):
    y = np.arange(96)[:, np.newaxis]
    edge = dose * np.ones((96, 96)) / (1 + np.exp((y - 50) / 3))
    assert not find_edges(np.random.default_rng(1).poisson(edge))[0]


def test_pictures_without_noise_are_recorded():
    y, x = np.indices((64, 80))
    for frame in (y, x, 0 * y, np.round(y / 20), (y > 30) * 5):
        assert not find_edges(frame.astype("f4"))[0]
    for shape in ((1, 1), (1, 50), (2, 2), (50, 1)):
        assert not find_edges(np.zeros(shape, "f4"))[0]


def test_tails_of_atoms_without_noise_are_recorded():
    y, x = np.indices((80, 80))
    for sigma in (1, 2, 5):
        atoms = [
            np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * sigma**2)) for a, b in [(30, 31), (41, 36)]
        ]
        for frame in (sum(atoms), 5000 + 100 * sum(atoms), np.round(1000 * sum(atoms))):
            assert not find_edges(frame.astype("f4"))[0]


def test_the_mask_is_that_of_the_edges():
    frame = with_letters(counts(3), 12, 0, 1e4)
    frame[:, -20:] = 5
    frame[-12:, -20:] = 0
    mask = find_no_image(frame)
    assert mask[-12:].all()
    assert mask[:, -20:].all()
    assert not mask[:-12, :-20].any()
    assert not find_no_image(frame[:10, :10]).any()
    assert find_data_bar(frame) == Edges(bottom=12)
