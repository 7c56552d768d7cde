"""Tests of npy files."""

import numpy as np
import pytest

from stemkit.io import read_stack
from stemkit.io._npy import write

COUNTS = np.random.default_rng(0).integers(0, 999, (3, 40, 50)).astype("u2")


def test_time_last_is_an_error_or_a_warning(tmp_path):
    np.save(tmp_path / "a.npy", np.moveaxis(COUNTS, 0, -1))
    with pytest.raises(ValueError, match=r"shape \(40, 50, 3\).* time or colour.*moveaxis"):
        read_stack(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.zeros((40, 50, 12)))
    with pytest.warns(UserWarning, match="read as 40 frames of 50 x 12 px") as caught:
        assert read_stack(tmp_path / "b.npy").shape == (40, 50, 12)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_grey_that_is_stored_as_colour_is_one_frame(tmp_path, n_channels):
    np.save(tmp_path / "a.npy", np.repeat(COUNTS[0][..., None], n_channels, axis=2))
    assert np.array_equal(read_stack(tmp_path / "a.npy").frames, COUNTS[:1])


@pytest.mark.parametrize("shape", [(3, 40, 50), (40, 50, 40), (10, 10, 3), (200, 20, 20)])
def test_stacks_are_read_as_they_are(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.arange(np.prod(shape)).reshape(shape))
    assert read_stack(tmp_path / "a.npy").shape == shape


def test_fortran_order_and_bytes_of_another_machine(tmp_path):
    np.save(tmp_path / "a.npy", np.asfortranarray(COUNTS.astype(">u2")))
    frames = read_stack(tmp_path / "a.npy").frames
    assert frames.flags.c_contiguous
    assert frames.dtype.isnative
    assert np.array_equal(frames, COUNTS)


def test_a_lazy_stack_stays_in_the_file(tmp_path):
    pytest.importorskip("dask", reason="needs the extra stemkit[formats]")
    np.save(tmp_path / "a.npy", COUNTS)
    stack = read_stack(tmp_path / "a.npy", lazy=True)
    assert hasattr(stack.frames, "dask")
    assert np.array_equal(np.asarray(stack), COUNTS)


def test_no_pickle_is_written(tmp_path):
    class Objects:
        frames = np.array([[[{}]]], dtype=object)

    with pytest.raises(ValueError, match="allow_pickle"):
        write(tmp_path / "a.npy", Objects())
    assert list(tmp_path.iterdir()) == []
