"""Tests of files read with RosettaSciIO: real ones, and others written in the same layouts."""

import json

import numpy as np
import pytest

from stemkit.io import read_stack, write_stack
from stemkit.io._rosettasciio import _times, stacks_of_signals

pytest.importorskip("rsciio", reason="needs the extra stemkit[formats]")
h5py = pytest.importorskip("h5py", reason="needs the extra stemkit[formats]")

COUNTS = np.random.default_rng(0).integers(0, 60000, (5, 48, 64)).astype("u2")


@pytest.mark.parametrize(
    "name, shape, dtype, pixel_size",
    [
        ("HAADF85.dm3", (1, 512, 512), "u2", 0.016388),
        ("BTO_crystal_1.dm4", (1, 413, 469), "f4", 0.029660),
        ("16_STOimage_1.ser", (1, 1024, 1024), "u2", 0.0100127),
        ("Acquisition_18.emd", (1, 1024, 1024), "u2", 0.0122465),
        ("stem_abf_data.hspy", (1, 512, 512), "u2", None),
    ],
)
def test_files_of_microscopes(shared_data, tmp_path, name, shape, dtype, pixel_size):
    stack = read_stack(shared_data / "formats" / name)
    assert (stack.shape, stack.dtype) == (shape, dtype)
    assert stack.frames.flags.c_contiguous
    if pixel_size is None:
        assert stack.pixel_size is None
    else:
        assert stack.pixel_size == pytest.approx(pixel_size, rel=1e-4)
    lazy = read_stack(shared_data / "formats" / name, lazy=True)
    assert hasattr(lazy.frames, "dask")
    np.testing.assert_array_equal(lazy, stack)
    for ending in (".tif", ".hspy", ".zspy", ".mrc", ".npy"):
        write_stack(tmp_path / f"a{ending}", stack)
        again = read_stack(tmp_path / f"a{ending}")
        np.testing.assert_array_equal(again.frames, stack.frames)
        if ending != ".npy" and pixel_size is not None:
            assert again.pixel_size == pytest.approx(stack.pixel_size, rel=1e-5)


def write_ncem(path, data, names, unit="n_m", dims=None):
    """Write an EMD file in the layout of NCEM's programs; `names` are in the order of its axes."""
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        group = file.create_group("data/signal")
        group.attrs["emd_group_type"] = 1
        group["data"] = data
        for index, (name, n) in enumerate(zip(names, data.shape, strict=True), 1):
            scale = 0.5 if name == "time" else 0.02
            dim = group.create_dataset(f"dim{index}", data=np.arange(n) * scale)
            dim.attrs["name"] = name
            dim.attrs["units"] = "s" if name == "time" else unit


@pytest.mark.parametrize("order", [("time", "y", "x"), ("x", "y", "time"), ("y", "x", "time")])
def test_axes_of_ncem_files_are_ordered_by_their_names(tmp_path, order):
    axes = [("time", "y", "x").index(name) for name in order]
    write_ncem(tmp_path / "a.emd", COUNTS.transpose(axes), order)
    stack = read_stack(tmp_path / "a.emd")
    np.testing.assert_array_equal(stack.frames, COUNTS)
    assert stack.pixel_size == pytest.approx(0.02)
    np.testing.assert_allclose(stack.times, np.arange(5) * 0.5)


def write_velox(path, images, *, width=2e-11, height=2e-11, unit="m"):
    """Write a Velox file with an image or a series for each detector."""
    with h5py.File(path, "w") as file:
        version = json.dumps({"format": "Velox", "version": "11"}).encode()
        file["Version"] = np.array([version], dtype=object)
        for index, (detector, data) in enumerate(images.items()):
            group = file.create_group(f"Data/Image/{index:032x}")
            data = np.moveaxis(np.atleast_3d(data) if data.ndim < 3 else data, 0, -1)
            group.create_dataset("Data", data=data)
            metadata = {
                "Core": {"MetadataDefinitionVersion": "7.9"},
                "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1500000000"}},
                "Optics": {"AccelerationVoltage": "300000", "CameraLength": "0.1"},
                "Instrument": {"InstrumentClass": "Titan"},
                "Stage": {
                    "Position": dict.fromkeys("xyz", "0"),
                    "AlphaTilt": "0",
                    "BetaTilt": "0",
                },
                "BinaryResult": {
                    "PixelSize": {"width": str(width), "height": str(height)},
                    "Offset": {"x": "0", "y": "0"},
                    "PixelUnitX": unit,
                    "PixelUnitY": unit,
                    "DetectorIndex": str(index),
                    "Detector": detector,
                },
                "Scan": {"FrameTime": "0.5", "DwellTime": "2e-6"},
                "Detectors": {f"Detector-{index}": {"DetectorName": detector}},
            }
            text = np.frombuffer(json.dumps(metadata).encode(), "u1")
            padded = np.zeros((len(text) + 9, data.shape[2]), "u1")
            padded[: len(text)] = text[:, None]
            group["Metadata"] = padded


def test_detectors_of_a_velox_file_are_signals(tmp_path):
    bright = COUNTS.max() - COUNTS
    write_velox(tmp_path / "a.emd", {"HAADF": COUNTS, "BF-S": bright})
    with pytest.raises(ValueError, match="several signals, 0: HAADF, 1: BF-S: choose one by"):
        read_stack(tmp_path / "a.emd")
    for signal, expected in (("HAADF", COUNTS), ("bf", bright), (1, bright), (np.int64(1), bright)):
        stack = read_stack(tmp_path / "a.emd", signal=signal)
        np.testing.assert_array_equal(stack.frames, expected)
    assert stack.pixel_size == pytest.approx(0.02)
    assert stack.detector == "BF-S"
    assert stack.voltage == 300
    np.testing.assert_allclose(stack.times, np.arange(5) * 0.5)


def test_complex_signals_of_a_velox_file_are_left_out(tmp_path):
    dpc = np.zeros((5, 48, 64), [("realFloat", "<f4"), ("imagFloat", "<f4")])
    write_velox(tmp_path / "a.emd", {"HAADF": COUNTS, "DPC": dpc})
    np.testing.assert_array_equal(read_stack(tmp_path / "a.emd").frames, COUNTS)
    write_velox(tmp_path / "b.emd", {"DPC": dpc})
    with pytest.raises(ValueError, match=r"no frames of real numbers, but DPC \(complex64"):
        read_stack(tmp_path / "b.emd")


def axis(name=None, scale=0.02, units="nm", navigate=False, size=0):
    return {"name": name, "scale": scale, "units": units, "navigate": navigate, "size": size}


def one(data, axes, **more):
    return stacks_of_signals([{"data": data, "axes": axes, "metadata": {}, **more}])[0]


@pytest.mark.parametrize(
    "axes, order",
    [
        ([axis("Time", 0.5, "s", True), axis("y"), axis("x")], (0, 1, 2)),
        ([axis(None, 1, None, True), axis(), axis()], (0, 1, 2)),
        ([axis("X"), axis("Y"), axis("Time", 0.5, "s")], (2, 1, 0)),
        ([axis(), axis(), axis("t", 0.5, "s")], (2, 0, 1)),
        ([axis(), axis(), axis(units="s")], (2, 0, 1)),
        ([axis("z", navigate=True), axis("height"), axis("width")], (0, 1, 2)),
        ([axis(units=None), axis(units=None), axis(units=None)], (0, 1, 2)),
    ],
)
def test_the_axis_of_time_is_found(axes, order):
    stack = one(COUNTS, axes)
    np.testing.assert_array_equal(stack.frames, COUNTS.transpose(order))


@pytest.mark.parametrize(
    "units, expected", [("nm", 0.02), ("n_m", 0.02), ("pm", 2e-5), ("1/nm", None), (None, None)]
)
def test_pixel_sizes_in_all_units(units, expected):
    found = one(COUNTS[0], [axis("y", units=units), axis("x", units=units)]).pixel_size
    assert found == (None if expected is None else pytest.approx(expected))


def test_oblong_pixels_keep_both_sizes():
    stack = one(COUNTS[0], [axis("y", 0.02), axis("x", 0.03)])
    assert stack.pixel_size == pytest.approx((0.02, 0.03))
    # The same for frames that are stored transposed.
    stack = one(COUNTS[0], [axis("x", 0.03), axis("y", 0.02)])
    assert stack.pixel_size == pytest.approx((0.02, 0.03))
    np.testing.assert_array_equal(stack.frames[0], COUNTS[0].T)


@pytest.mark.parametrize(
    "data, axes, reason",
    [
        (np.zeros((2, 3, 4, 5)), [axis()] * 4, "4 axes of 2 x 3 x 4 x 5"),
        (np.zeros(9), [axis()], "1 axes of 9"),
        (
            np.zeros((4, 6, 20)),
            [axis(navigate=True), axis(navigate=True), axis()],
            "a spectrum or line for each point",
        ),
        (np.zeros((4, 6, 20)), [axis("x"), axis("y"), axis("Energy loss", 1, "eV")], "spectra"),
        (np.zeros((4, 6), complex), [axis(), axis()], "complex128 values"),
    ],
)
def test_what_is_no_frame_is_named(data, axes, reason):
    with pytest.raises(ValueError, match=f"holds no frames of real numbers, but .*{reason}"):
        one(data, axes)


def test_colours_that_are_grey_are_frames():
    grey = (COUNTS[0] / 256).astype("u1")
    colours = np.zeros(grey.shape, [(name, "u1") for name in "RGB"])
    for name in "RGB":
        colours[name] = grey
    np.testing.assert_array_equal(one(colours, [axis("y"), axis("x")]).frames[0], grey)
    colours["G"][0, 0] += 1
    with pytest.raises(ValueError, match=r"but a signal \(colours\)"):
        one(colours, [axis("y"), axis("x")])


def test_quantities_are_found_and_converted():
    tem = {"beam_energy": 300, "beam_current": 0.04, "Detector": {"Camera": {"exposure": 0.2}}}
    metadata = {"Acquisition_instrument": {"TEM": tem}, "General": {"title": "HAADF"}}
    stack = one(COUNTS[0], [axis("y"), axis("x")], metadata=metadata)
    assert (stack.voltage, stack.current, stack.exposure) == (300, pytest.approx(40), 0.2)
    assert stack.detector == "HAADF"
    assert stack.metadata["metadata"] == metadata
    odd = {"Acquisition_instrument": {"TEM": {"beam_energy": "?", "beam_current": 0}}}
    stack = one(COUNTS[0], [axis("y"), axis("x")], metadata=odd)
    assert (stack.voltage, stack.current) == (None, None)


@pytest.mark.parametrize("ending", [".dm3", ".dm4", ".emd", ".ser", ".hspy", ".nxs", ".tvips"])
def test_a_broken_file_is_an_error_that_names_it(tmp_path, ending):
    (tmp_path / f"a{ending}").write_bytes(b"not a microscope's file" * 99)
    with pytest.raises(ValueError, match=rf"a\{ending} can't be read as {ending[1:]}: \S"):
        read_stack(tmp_path / f"a{ending}")


@pytest.mark.parametrize("name", ["HAADF85.dm3", "16_STOimage_1.ser", "stem_abf_data.hspy"])
def test_a_cut_file_never_gives_other_frames(shared_data, tmp_path, name):
    whole = (shared_data / "formats" / name).read_bytes()
    expected = read_stack(shared_data / "formats" / name).frames
    for share in (0.1, 0.5, 0.9, 0.999):
        path = tmp_path / name
        path.write_bytes(whole[: int(share * len(whole))])
        try:
            found = read_stack(path).frames
        except ValueError:
            continue
        np.testing.assert_array_equal(found, expected)


def test_a_ripple_file_is_read(tmp_path):
    from rsciio.ripple import file_writer

    from stemkit.io import FrameStack
    from stemkit.io._rosettasciio import signal_dict

    file_writer(str(tmp_path / "a.rpl"), signal_dict(FrameStack(COUNTS, 0.02)))
    np.testing.assert_array_equal(read_stack(tmp_path / "a.rpl").frames, COUNTS)


@pytest.mark.parametrize("step", [0.0, -2.0, np.inf, np.nan, None])
def test_times_without_a_step_are_unknown(step):
    assert _times({"units": "s", "scale": step, "size": 3}) is None


def test_times_increase_from_zero_in_seconds():
    np.testing.assert_allclose(_times({"units": "ms", "scale": 500, "size": 3}), [0, 0.5, 1])
    values = np.array([2.0, 2.5, 4.0])
    np.testing.assert_allclose(_times({"units": "s", "values": values}), [0, 0.5, 2])
    for wrong in ([2.0, 2.0, 4.0], [2.0, 1.0, 4.0], [2.0, np.nan, 4.0]):
        assert _times({"units": "s", "values": np.array(wrong)}) is None
    assert _times({"units": "nm", "scale": 1.0, "size": 3}) is None
