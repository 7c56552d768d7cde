"""Arrays with named axes and dask arrays in place of NumPy arrays."""

import numpy as np
import pytest

from stemkit._arrays import as_array
from stemkit._labelled import unlabelled
from stemkit._validation import check_frames, split_missing
from stemkit.io import FrameStack
from stemkit.preprocessing import BadPixelRepair

from .labelled_arrays import data_array, series, signal

FRAMES = np.random.default_rng(0).normal(100, 5, (3, 8, 9)).astype("float32")


def test_frames_get_the_usual_order_of_axes():
    turned = data_array(FRAMES.transpose(2, 0, 1), ("x", "time", "y"))
    axes = [("y", "nm", 1, False), ("x", "nm", 1, False), ("time", "s", 1, True)]
    for X in (turned, signal(FRAMES.transpose(1, 2, 0), axes), series(FRAMES)):
        assert np.array_equal(check_frames(X), FRAMES)
        assert np.array_equal(BadPixelRepair().fit(FRAMES).transform(X), FRAMES)


def test_other_arrays_keep_their_axes():
    positions = data_array(FRAMES[0], ("atom", "axis"))
    assert np.array_equal(as_array(positions, "y"), FRAMES[0])
    pairs = data_array(FRAMES[:2][None], ("pair", "time", "y", "x"))
    assert as_array(pairs, "X").shape == (1, 2, 8, 9)
    assert unlabelled(FRAMES, "X") is FRAMES


def test_spectra_are_no_frames():
    axes = [("y", "nm", 1, True), ("x", "nm", 1, True), ("Energy", "eV", 1, False)]
    with pytest.raises(ValueError, match=r"^stack holds no frames, but spectra; pass frames"):
        check_frames(signal(FRAMES, axes), name="stack")


@pytest.mark.parametrize("kind", ["array", "stack", "signal", "stack with a mask"])
def test_masks_in_dask_arrays_are_used(kind):
    array = pytest.importorskip("dask.array")
    lazy = array.ma.masked_less(array.from_array(FRAMES, chunks=(1, 8, 9)), 95)
    known = FRAMES > 110
    X = {
        "array": lazy,
        "stack": FrameStack(lazy),
        "signal": signal(lazy, [(name, None, 1, False) for name in ("t", "y", "x")]),
        "stack with a mask": FrameStack(lazy, mask=known),
    }[kind]
    expected = FRAMES < 95
    if kind == "stack with a mask":
        expected = expected | known
    frames, missing = split_missing(X, "X")
    assert expected.any()
    assert np.array_equal(missing, expected)
    assert np.array_equal(frames, np.where(expected, 0, FRAMES))
    with pytest.raises(ValueError, match=r"^X has masked pixels"):
        check_frames(X)
