"""Stacks from HyperSpy, xarray, dask, torch and masked arrays.

HyperSpy and xarray are not installed with stemkit: stand-ins have the attributes that are read.
"""

import numpy as np
import pytest

from stemkit.io import FrameStack, as_frame_stack
from stemkit.io._conversion import calibration_of, pixel_sides

from ..labelled_arrays import data_array, series, signal

COUNTS = np.random.default_rng(0).integers(0, 9, (5, 8, 9)).astype("uint16")
AXES = [("time", "s", 0.5, True), ("y", "nm", 0.03, False), ("x", "nm", 0.02, False)]


def same(stack, expected=COUNTS):
    return isinstance(stack, FrameStack) and np.array_equal(np.asarray(stack), expected)


def test_a_signal_gives_what_its_axes_and_metadata_tell():
    metadata = {
        "General": {"title": "HAADF"},
        "Acquisition_instrument": {"TEM": {"beam_energy": 200.0}},
    }
    stack = as_frame_stack(signal(COUNTS, AXES, metadata))
    assert same(stack)
    assert stack.dtype == "uint16"
    assert stack.pixel_size == (0.03, 0.02)
    assert stack.times.tolist() == [0, 0.5, 1, 1.5, 2]
    assert (stack.detector, stack.voltage) == ("HAADF", 200)
    assert stack.metadata["metadata"]["General"] == {"title": "HAADF"}
    assert stack.metadata["original_metadata"] == {"a": 1}


@pytest.mark.parametrize(
    "units, size", [("pm", 2e-5), ("µm", 20), ("1/nm", None), ("<undefined>", None), ("px", None)]
)
def test_units_of_signals_and_coordinates(units, size):
    axes = [AXES[0], ("y", units, 0.02, False), ("x", units, 0.02, False)]
    coordinates = series(COUNTS, 0.02, 0.02, units=units)
    for stack in (as_frame_stack(signal(COUNTS, axes)), as_frame_stack(coordinates)):
        assert stack.pixel_size == (None if size is None else pytest.approx(size))


def test_a_single_frame_with_names_is_a_stack_of_one():
    assert same(as_frame_stack(signal(COUNTS[0], AXES[1:])), COUNTS[:1])
    assert same(as_frame_stack(data_array(COUNTS[0].T, ("x", "y"))), COUNTS[:1])


def test_irregular_times_of_a_signal_are_kept_and_irregular_pixels_are_unknown():
    steps = np.array([3.0, 4, 7, 8, 20])
    places = np.arange(9.0) ** 2
    axes = [("time", "ms", steps, True), AXES[1], ("x", "nm", places, False)]
    stack = as_frame_stack(signal(COUNTS, axes))
    assert stack.times == pytest.approx((steps - 3) / 1000)
    assert stack.pixel_size is None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_dimensions_of_a_data_array_can_be_in_any_order(order):
    known = {"y": (100 - 0.03 * np.arange(8), "nm"), "x": (0.02 * np.arange(9) - 5, "nm")}
    known["time"] = (np.array([5, 6, 8, 9, 11]), "ms")
    dims = [("time", "y", "x")[axis] for axis in order]
    stack = as_frame_stack(data_array(COUNTS.transpose(order), tuple(dims), "BF", **known))
    assert same(stack)
    assert stack.pixel_size == pytest.approx((0.03, 0.02))
    assert stack.times == pytest.approx([0, 0.001, 0.003, 0.004, 0.006])
    assert (stack.detector, stack.metadata) == ("BF", {"stage": 3})


def test_dates_are_times():
    dates = np.datetime64("2026-01-01") + np.array([0, 1, 2, 4, 8]) * np.timedelta64(500, "ms")
    stack = as_frame_stack(data_array(COUNTS, ("time", "y", "x"), time=dates))
    assert stack.times.tolist() == [0, 0.5, 1, 2, 4]
    missing = np.array([*dates[:4], np.datetime64("NaT")])
    assert as_frame_stack(data_array(COUNTS, ("time", "y", "x"), time=missing)).times is None


@pytest.mark.parametrize(
    "coordinates",
    [
        {},
        {"y": np.arange(8), "x": np.arange(9)},
        {"y": (np.arange(8), "nm")},
        {"y": (np.arange(8), "nm"), "x": ([0, 1, 2, 3, 4, 5, 6, 7, 8.2], "nm")},
        {"y": (np.arange(8), "nm"), "x": (np.full(9, 2.0), "nm")},
        {"y": (np.arange(8), "nm"), "x": (list("abcdefghi"), "nm")},
    ],
)
def test_what_coordinates_do_not_tell_is_unknown(coordinates):
    stack = as_frame_stack(data_array(COUNTS, ("time", "y", "x"), **coordinates))
    assert (stack.pixel_size, stack.times, stack.detector) == (None, None, None)


def test_names_other_than_y_and_x_are_the_last_two():
    assert same(as_frame_stack(data_array(COUNTS, ("run", "row", "col"))))
    moved = data_array(COUNTS.transpose(1, 2, 0), ("row", "col", "frame"))
    assert same(as_frame_stack(moved))


def test_masks_are_kept():
    masked = np.ma.masked_less(COUNTS, 3)
    for X in (masked, signal(masked, AXES), FrameStack(masked)):
        stack = as_frame_stack(X)
        assert same(stack)
        assert not isinstance(stack.frames, np.ma.MaskedArray)
        assert np.array_equal(stack.mask, COUNTS < 3)
    both = FrameStack(masked, mask=COUNTS == 8)
    assert np.array_equal(both.mask, (COUNTS < 3) | (COUNTS == 8))


def test_dask_arrays_stay_lazy():
    array = pytest.importorskip("dask.array")
    frames = array.from_array(COUNTS, chunks=(2, 8, 9))
    for X in (frames, signal(frames, AXES), data_array(frames, ("time", "y", "x"))):
        stack = as_frame_stack(X)
        assert hasattr(stack.frames, "dask")
        assert same(stack)


def test_arrays_tensors_and_stacks():
    torch = pytest.importorskip("torch")
    for X in (COUNTS, COUNTS.tolist(), torch.tensor(COUNTS.astype("int32"))):
        stack = as_frame_stack(X)
        assert same(stack)
        assert stack.pixel_size is None
    assert as_frame_stack(COUNTS).frames is COUNTS
    assert as_frame_stack(stack) is stack


@pytest.mark.parametrize(
    "X, message",
    [
        (COUNTS[0], r"^X is one frame of shape \(8, 9\), .*X\[np.newaxis\]"),
        (COUNTS[None], "^X has 4 dimensions"),
        (COUNTS[:, :0], "^X has empty frames"),
        (COUNTS * 1j, "^X has dtype complex128"),
        (np.ma.masked_array(COUNTS * 1j), "^X has dtype complex128"),
        ("series.tif", "^X is a path, not frames"),
        (signal(COUNTS * 1j, AXES), "^X holds no frames, but complex128 values"),
        (
            signal(COUNTS, [AXES[0], ("y", "nm", 1, True), ("Energy", "eV", 1, False)]),
            "^X holds no frames, but spectra",
        ),
        (
            signal(COUNTS, [AXES[0], ("a", "nm", 1, True), ("b", "nm", 1, False)]),
            "^X holds no frames, but a spectrum or line for each point",
        ),
        (data_array(COUNTS[None], ("a", "time", "y", "x")), "^X holds no frames, but 4 axes"),
    ],
)
def test_errors_tell_what_is_no_stack(X, message):
    with pytest.raises(ValueError, match=message):
        as_frame_stack(X)


def test_calibration_of_what_has_none():
    known = calibration_of(series(COUNTS, times=np.arange(5.0)))
    assert known.pixel_size == pytest.approx((0.03, 0.02))
    assert known.times.tolist() == [0, 1, 2, 3, 4]
    assert calibration_of(FrameStack(COUNTS, 0.5)).pixel_size == 0.5
    pairs = data_array(COUNTS[:2][None], ("pair", "time", "y", "x"))
    for X in (COUNTS, [[1]], None, "a", pairs, data_array(COUNTS[0, 0], ("x",))):
        assert calibration_of(X) == (None, None, None)


def test_sides_of_pixels():
    assert pixel_sides(0.5) == (0.5, 0.5)
    assert pixel_sides((0.03, 0.02)) == (0.03, 0.02)
