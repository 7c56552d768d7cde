"""Pixels without data in files: zeros, with the coverage beside them."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from stemkit.datasets import make_llzo_series
from stemkit.io import FrameStack, read_stack, write_stack
from stemkit.io._coverage import coverage_path
from stemkit.registration import average

ENDINGS = (".tif", ".ome.tif", ".npy", ".mrc", ".hspy", ".zspy")
COUNTS = np.arange(1, 1 + 2 * 8 * 9, dtype="uint16").reshape(2, 8, 9)
MISSING = np.zeros(COUNTS.shape, bool)
MISSING[1, 5:] = True


def path_in(folder, ending):
    if ending not in (".tif", ".ome.tif", ".npy"):
        pytest.importorskip("rsciio")
    return folder / f"series{ending}"


@pytest.mark.parametrize("ending", ENDINGS)
def test_masked_stacks_are_read_back_with_their_mask(tmp_path, ending):
    path = path_in(tmp_path, ending)
    write_stack(path, np.ma.array(COUNTS, mask=MISSING))
    assert coverage_path(path).name == f"series_coverage{ending}"
    assert {file.name for file in tmp_path.iterdir()} == {path.name, f"series_coverage{ending}"}
    for where in (path, tmp_path):
        read = read_stack(where)
        assert read.dtype == COUNTS.dtype
        np.testing.assert_array_equal(read.frames, np.where(MISSING, 0, COUNTS))
        np.testing.assert_array_equal(read.mask, MISSING)


def test_the_mask_of_a_frame_stack_is_kept_with_what_else_it_knows(tmp_path):
    values = np.where(MISSING, np.nan, COUNTS).astype("f4")
    write_stack(tmp_path / "a.tif", FrameStack(values, 0.02, mask=MISSING))
    read = read_stack(tmp_path / "a.tif")
    assert read.pixel_size == pytest.approx(0.02)
    np.testing.assert_array_equal(read.mask, MISSING)
    assert read_stack(tmp_path / "a_coverage.tif").pixel_size == pytest.approx(0.02)


def test_an_average_is_written_with_the_number_of_frames_of_each_pixel(tmp_path):
    series = make_llzo_series(3, shape=(64, 64), random_state=0)
    result = average(series.frames, series.motion, canvas="union", pixel_size=0.02)
    write_stack(tmp_path / "average.tif", result)
    written = tifffile.imread(tmp_path / "average.tif")
    np.testing.assert_array_equal(np.squeeze(written), result.mean.filled(0))
    counts = np.squeeze(tifffile.imread(tmp_path / "average_coverage.tif"))
    np.testing.assert_array_equal(counts, result.coverage)
    read = read_stack(tmp_path / "average.tif")
    assert read.pixel_size == pytest.approx(0.02)
    np.testing.assert_array_equal(read.mask[0], result.mean.mask)


@pytest.mark.parametrize("stack", [np.ma.array(COUNTS), FrameStack(COUNTS, mask=~MISSING & False)])
def test_without_missing_pixels_there_is_one_file(tmp_path, stack):
    write_stack(tmp_path / "a.tif", stack)
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]
    assert read_stack(tmp_path / "a.tif").mask is None


def test_a_folder_of_masked_files_is_one_series(tmp_path):
    for index in range(2):
        write_stack(tmp_path / f"{index}.tif", np.ma.array(COUNTS[index], mask=MISSING[index]))
    for paths in (tmp_path, tmp_path / "*.tif"):
        read = read_stack(paths)
        assert read.shape == COUNTS.shape
        np.testing.assert_array_equal(read.mask, MISSING)


def test_a_coverage_of_another_shape_is_named(tmp_path):
    write_stack(tmp_path / "a.tif", COUNTS)
    write_stack(tmp_path / "a_coverage.tif", COUNTS[:1])
    with pytest.raises(ValueError, match=r"a_coverage.tif has shape .* rename one of them"):
        read_stack(tmp_path / "a.tif")


def test_values_that_are_not_finite_outside_of_the_mask_are_errors(tmp_path):
    values = np.where(MISSING, np.nan, COUNTS).astype("f4")
    values[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="frame 0"):
        write_stack(tmp_path / "a.tif", np.ma.array(values, mask=MISSING))
    assert not list(Path(tmp_path).iterdir())
