import numpy as np
import pytest

from stemkit.registration import RowPaths, align_rows
from tests.registration.scanned_series import record, scan, settling, specimen

SIDE = 64
PATHS = settling(3, SIDE, (5, -4))


def rows_of(paths, degrees=None):
    shape = paths.shape[:2]
    turns = np.zeros(len(paths)) if degrees is None else np.array(degrees, float)
    return RowPaths(paths, np.full(paths.shape, 0.1), np.ones(shape), 0.0, turns)


@pytest.mark.parametrize("canvas", ["first", "union", "common"])
def test_aligned_frames_agree_where_they_hold_data(canvas):
    frames = record(PATHS, dose=1e5)
    aligned = align_rows(frames, rows_of(PATHS), canvas=canvas)
    both = aligned.mask[0] & aligned.mask[2]
    both[:3] = both[-3:] = False
    both[:, :3] = both[:, -3:] = False
    assert both.mean() > 0.5
    rest = (np.asarray(aligned[0]) - np.asarray(aligned[2]))[both]
    assert rest.std() < 0.05 * frames.std()
    assert np.isfinite(aligned).all()


def test_canvases_differ_in_size():
    frames = record(PATHS)
    first, union, common = (
        align_rows(frames, rows_of(PATHS), canvas=canvas) for canvas in ("first", "union", "common")
    )
    assert first.shape == frames.shape
    assert first.origin == (0, 0)
    assert common.mask.all()
    assert common[0].size < first[0].size < union[0].size
    assert union.mask.any(axis=0).any(axis=1).all()
    # The same place of the specimen.
    y, x = common.origin
    np.testing.assert_allclose(
        np.asarray(common), first[:, y : y + common.shape[1], x : x + common.shape[2]], atol=1e-4
    )


def test_turned_frames_are_turned_back():
    image = specimen(SIDE + 40, np.random.default_rng(0))
    frames = np.stack([scan(image, (SIDE, SIDE), np.zeros((SIDE, 2)), d) for d in (0, 90)])
    aligned = align_rows(frames, rows_of(np.zeros((2, SIDE, 2)), (0, 90)))
    assert aligned.mask.all()
    np.testing.assert_allclose(aligned[0], aligned[1], atol=1e-3)


def test_fill_is_that_which_was_asked_for():
    frames = record(PATHS)
    zero = align_rows(frames, rows_of(PATHS), fill=-3.0)
    edge = align_rows(frames, rows_of(PATHS))
    lacking = ~zero.mask
    assert lacking.any()
    assert (np.asarray(zero)[lacking] == -3).all()
    assert (np.asarray(edge)[lacking] != -3).all()


def test_paths_of_other_frames_are_an_error():
    with pytest.raises(ValueError, match="3 frames of 64 rows"):
        align_rows(record(PATHS)[:2], rows_of(PATHS))


def test_frames_without_common_pixels_are_an_error():
    apart = PATHS.copy()
    apart[2] += 200
    with pytest.raises(ValueError, match='canvas="common" is empty'):
        align_rows(record(PATHS), rows_of(apart), canvas="common")
