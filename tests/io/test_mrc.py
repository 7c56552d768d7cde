"""Tests of mrc files."""

import gzip
import shutil

import numpy as np
import pytest

from stemkit.io import read_stack, write_stack

mrcfile = pytest.importorskip("mrcfile", reason="needs the extra stemkit[formats]")
COUNTS = np.random.default_rng(0).integers(-120, 120, (3, 20, 30))


def write(path, frames, angstrom=0.2):
    with mrcfile.new(path) as file:
        file.set_data(frames)
        if angstrom is not None:
            file.voxel_size = angstrom


@pytest.mark.parametrize("ending", [".mrc", ".mrcs", ".st", ".map", ".MRC"])
def test_all_endings_are_read(tmp_path, ending):
    write(tmp_path / f"a{ending}", COUNTS.astype("i2"))
    stack = read_stack(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(stack.frames, COUNTS)
    assert stack.pixel_size == pytest.approx(0.02)


@pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f2", "f4"])
def test_types_are_kept_and_negative_counts_too(tmp_path, dtype):
    counts = np.abs(COUNTS) if dtype == "u2" else COUNTS
    write(tmp_path / "a.mrc", counts.astype(dtype))
    stack = read_stack(tmp_path / "a.mrc")
    assert stack.dtype == dtype
    np.testing.assert_array_equal(stack.frames, counts)


def test_one_image_is_a_stack_of_one(tmp_path):
    write(tmp_path / "a.mrc", COUNTS[0].astype("i2"))
    assert read_stack(tmp_path / "a.mrc").shape == (1, 20, 30)


def test_a_voxel_size_of_zero_is_unknown(tmp_path):
    write(tmp_path / "a.mrc", COUNTS.astype("i2"), angstrom=None)
    assert read_stack(tmp_path / "a.mrc").pixel_size is None


def test_complex_values_are_an_error(tmp_path):
    write(tmp_path / "a.mrc", COUNTS.astype("c8"))
    with pytest.raises(ValueError, match=r"a\.mrc holds complex64 values"):
        read_stack(tmp_path / "a.mrc")


@pytest.mark.parametrize("kept", [0, 500, 1024, 1100, 3000])
def test_a_cut_file_is_an_error(tmp_path, kept):
    write(tmp_path / "a.mrc", COUNTS.astype("i2"))
    whole = (tmp_path / "a.mrc").read_bytes()
    (tmp_path / "a.mrc").write_bytes(whole[:kept])
    with pytest.raises(ValueError, match=r"a\.mrc can't be read as mrc"):
        read_stack(tmp_path / "a.mrc")


def test_a_compressed_file_is_read(tmp_path):
    write(tmp_path / "b.mrc", COUNTS.astype("i2"))
    with open(tmp_path / "b.mrc", "rb") as plain, gzip.open(tmp_path / "a.mrc", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    np.testing.assert_array_equal(read_stack(tmp_path / "a.mrc").frames, COUNTS)


def test_values_without_a_type_in_mrc_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="no type that holds all values of uint32"):
        write_stack(tmp_path / "a.mrc", np.full((1, 4, 4), 2**24 + 1, "u4"))
    assert not list(tmp_path.iterdir())
    write_stack(tmp_path / "a.mrc", np.full((1, 4, 4), 2**24, "u4"))
    assert read_stack(tmp_path / "a.mrc").frames.max() == 2**24


def test_a_lazy_stack_stays_in_the_file(tmp_path):
    write(tmp_path / "a.mrc", COUNTS.astype("i2"))
    stack = read_stack(tmp_path / "a.mrc", lazy=True)
    assert hasattr(stack.frames, "dask")
    np.testing.assert_array_equal(stack, COUNTS)
