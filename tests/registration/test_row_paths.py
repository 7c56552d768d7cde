import numpy as np
import pytest

from stemkit.exceptions import InvalidParameterError
from stemkit.registration import Motion, register_rows
from stemkit.registration._row_paths import fix_gauge
from tests.registration.scanned_series import errors_of_rows, record, settling

SIDE = 128


@pytest.fixture(scope="module")
def settled():
    paths = settling(4, SIDE)
    return paths, register_rows(record(paths))


def test_a_settling_stage_is_followed_within_the_frames(settled):
    paths, rows = settled
    error = errors_of_rows(rows.path, paths)
    assert np.median(error) < 0.1
    certain = rows.probability[:, 6:-6] > 0.9
    assert certain.mean() > 0.8
    assert np.quantile(error[certain], 0.95) < 0.3
    assert rows.jitter == 0


def test_standard_errors_are_those_of_the_errors(settled):
    paths, rows = settled
    still = np.zeros(4)
    rest = fix_gauge(rows.path, still) - fix_gauge(paths, still)
    rest -= np.median(rest.reshape(-1, 2), axis=0)
    z = (rest / rows.stderr)[:, 6:-6]
    # The median of the absolute value of a normal distribution is 0.67.
    assert 0.4 < np.median(np.abs(z)) < 1.3


def test_rows_are_probable_where_they_are_right(settled):
    _, rows = settled
    assert rows.probability.shape == (4, SIDE)
    assert ((rows.probability >= 0) & (rows.probability <= 1)).all()
    assert np.median(rows.probability) > 0.9


def test_the_first_middle_row_is_undisplaced_and_the_mean_straight(settled):
    paths, rows = settled
    np.testing.assert_allclose(rows.path[0, SIDE // 2], 0, atol=1e-9)
    slope = np.diff(fix_gauge(paths, np.zeros(4)), axis=1).mean(axis=0)
    # Rows that all frames show, of paths that differ from each other by 10 px.
    assert np.abs(slope[20:-20].mean(axis=0)).max() < 0.02


def test_jitter_of_rows_is_measured_and_undone():
    paths = settling(5, 80, (3, -2))
    paths[..., 1] += np.random.default_rng(4).normal(0, 1, paths.shape[:2])
    rows = register_rows(record(paths, dose=30))
    assert 0.7 < rows.jitter < 1.6
    assert np.median(errors_of_rows(rows.path, paths)) < 0.3


def test_orthogonal_scan_directions_show_what_one_direction_can_not():
    rows = np.arange(96) / 96
    # The same bend in all frames: along one direction it would be that of the specimen.
    bend = np.stack([3 * np.sin(5 * rows), 4 * np.cos(4 * rows)], -1)
    paths = np.stack([bend, bend])
    frames = record(paths, dose=50, degrees=(0, 90))
    found = register_rows(frames, scan_direction=[0, 90])
    rest = found.path - paths
    # The place of the specimen is fixed by the first frame's middle row.
    shift = np.median(rest[0], axis=0)
    rest[0] -= shift
    rest[1] -= shift[1], -shift[0]
    error = np.hypot(*np.moveaxis(rest[:, 6:-6], -1, 0))
    assert np.median(error) < 0.15
    assert found.scan_direction.tolist() == [0, 90]


def test_a_blank_frame_has_no_probability_and_spoils_no_other():
    paths = settling(5, 64, (3, -2))
    frames = record(paths)
    frames[2] = 7
    rows = register_rows(frames)
    assert (rows.probability[2] == 0).all()
    assert np.isfinite(rows.path).all()
    others = [0, 1, 3, 4]
    assert np.median(errors_of_rows(rows.path[others], paths[others])) < 0.15


def test_motions_are_a_start():
    paths = settling(3, 64, (2, -2))
    frames = record(paths)
    drift = paths.mean(axis=1) - paths[0].mean(axis=0)
    motions = [Motion((64, 64), d) for d in drift]
    rows = register_rows(frames, motions=motions)
    assert np.median(errors_of_rows(rows.path, paths)) < 0.2


def test_the_result_is_an_array_of_paths(settled):
    _, rows = settled
    assert np.asarray(rows).shape == (4, SIDE, 2)
    assert "RowPaths" in repr(rows)


def test_the_same_frames_give_the_same_paths():
    frames = record(settling(3, 64, (2, -2)))
    assert np.array_equal(register_rows(frames).path, register_rows(frames).path)


def test_errors_name_what_is_wrong():
    frames = record(settling(3, 64, (2, -2)))
    with pytest.raises(ValueError, match="at least two frames of at least 32"):
        register_rows(frames[:1])
    with pytest.raises(ValueError, match="at least two frames of at least 32"):
        register_rows(frames[:, :20])
    with pytest.raises(ValueError, match="3 frames and motions 1"):
        register_rows(frames, motions=[Motion((64, 64))])
    with pytest.raises(ValueError, match="scan_direction"):
        register_rows(frames, scan_direction=[0, 90])
    with pytest.raises(ValueError, match="scan_direction"):
        register_rows(frames, scan_direction=[0, np.nan, 90])
    with pytest.raises(ValueError, match="both sides are even or both are odd"):
        register_rows(frames[:, :63], scan_direction=[0, 90, 0])
    with pytest.raises(InvalidParameterError, match="max_drift"):
        register_rows(frames, max_drift=2)
