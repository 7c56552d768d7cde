"""Tests of the files that paths select, and of their order."""

from pathlib import Path

import numpy as np
import pytest

from stemkit.io import read_stack, write_stack
from stemkit.io._paths import find_files, natural_key

NAMES = ["im1", "im2", "im9", "im10", "im11", "im100"]


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(NAMES):
        np.save(tmp_path / f"{name}.npy", np.full((4, 5), i))
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / ".hidden.npy").write_text("not a frame")
    return tmp_path


@pytest.mark.parametrize("how", ["folder", "pattern", "string", "trailing slash"])
def test_folders_and_patterns_are_in_natural_order(folder, how):
    paths = {
        "folder": folder,
        "pattern": folder / "im*.npy",
        "string": str(folder / "im*"),
        "trailing slash": f"{folder}/",
    }[how]
    stack = read_stack(paths)
    assert stack.names == tuple(f"{name}.npy" for name in NAMES)
    assert np.array_equal(stack.frames[:, 0, 0], np.arange(6))


def test_a_list_in_alphabetical_order_is_kept_with_a_warning(folder):
    files = sorted(folder.glob("im*.npy"))
    with pytest.warns(UserWarning, match=r"im10\.npy comes before im2\.npy") as caught:
        assert find_files(files) == files
    assert caught[0].filename == __file__


@pytest.mark.parametrize("order", [[3, 0, 1], [0, 1, 2], [5, 4, 3, 2]])
def test_other_orders_of_a_list_are_meant(folder, order):
    files = [folder / f"{NAMES[i]}.npy" for i in order]
    assert find_files(files) == files


def test_natural_order():
    names = ["a2", "a10", "a1", "b", "A3", "10", "9", "a1b2", "a1b10", "a01"]
    ordered = [path.name for path in sorted(map(Path, names), key=natural_key)]
    assert ordered == ["9", "10", "a1", "a01", "a1b2", "a1b10", "a2", "A3", "a10", "b"]


def test_a_folder_of_several_formats_is_ambiguous(folder):
    write_stack(folder / "average.tif", np.zeros((4, 5)))
    with pytest.raises(
        ValueError, match=r"^paths names .* several formats, \.npy, \.tif: give one"
    ):
        read_stack(folder)
    assert len(read_stack(folder / "*.npy")) == 6


def test_tif_and_tiff_are_one_format(tmp_path):
    for name in ("1.tiff", "2.tif"):
        write_stack(tmp_path / name, np.zeros((4, 5)))
    assert read_stack(tmp_path).names == ("1.tiff", "2.tif")


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    write_stack(tmp_path / "a[1].tif", np.ones((4, 5)))
    write_stack(tmp_path / "a1.tif", np.zeros((4, 5)))
    assert read_stack(tmp_path / "a[1].tif").names == ("a[1].tif",)


def test_empty_folders_and_patterns_without_files_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder without any file .*\.tif"):
        read_stack(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no file matches .*\*\.tif"):
        read_stack(tmp_path / "*.tif")
    with pytest.raises(FileNotFoundError, match=r"missing\.tif does not exist"):
        read_stack(tmp_path / "missing.tif")
