"""Tests of writing stacks: stemkit and other programs read the same values back."""

import os

import numpy as np
import pytest
import tifffile

from stemkit.io import FrameStack, read_stack, write_stack

SMALL = np.random.default_rng(0).integers(0, 60000, (3, 6, 7)).astype("u2")
ENDINGS = [".tif", ".ome.tif", ".npy", ".mrc", ".hspy", ".zspy"]
KEEP_METADATA = [".tif", ".hspy", ".zspy"]


def skip_without_packages(ending):
    needed = {".mrc": ["mrcfile"], ".hspy": ["rsciio", "h5py"], ".zspy": ["rsciio", "zarr"]}
    for name in needed.get(ending, []):
        pytest.importorskip(name, reason="needs the extra stemkit[formats]")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "i4", "f4"])
def test_values_and_types_are_read_back(tmp_path, ending, dtype):
    skip_without_packages(ending)
    stack = SMALL.astype(dtype)
    path = tmp_path / f"a{ending}"
    write_stack(path, FrameStack(stack, 0.025))
    read = read_stack(path)
    np.testing.assert_array_equal(read.frames, stack)
    if ending != ".mrc":  # mrc has no unsigned bytes and no 32-bit integers
        assert read.dtype == dtype
    if ending != ".npy":
        assert read.pixel_size == pytest.approx(0.025, rel=1e-6)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("shape", [(1, 5, 7), (4, 1, 7), (4, 5, 1), (1, 1, 1), (2, 3, 4)])
def test_thin_stacks_of_all_formats_are_not_transposed(tmp_path, ending, shape):
    skip_without_packages(ending)
    stack = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    write_stack(tmp_path / f"a{ending}", stack, pixel_size=0.5)
    np.testing.assert_array_equal(read_stack(tmp_path / f"a{ending}").frames, stack)


@pytest.mark.parametrize("ending", [".tif", ".ome.tif", ".mrc", ".hspy", ".zspy"])
def test_oblong_pixels_are_read_back(tmp_path, ending):
    skip_without_packages(ending)
    write_stack(tmp_path / f"a{ending}", SMALL, pixel_size=(0.02, 0.05))
    size = read_stack(tmp_path / f"a{ending}").pixel_size
    assert size == pytest.approx((0.02, 0.05), rel=1e-6)


@pytest.mark.parametrize("ending", [".hspy", ".zspy"])
def test_what_the_stack_knows_is_read_back(tmp_path, ending):
    skip_without_packages(ending)
    known = FrameStack(
        SMALL,
        0.02,
        times=np.array([0.0, 0.5, 1.0]),
        dwell_time=2e-6,
        exposure=0.25,
        voltage=300.0,
        current=40.0,
        detector="HAADF",
        metadata={"stage": {"alpha": 1.5, "names": ["a", "b"]}},
    )
    write_stack(tmp_path / f"a{ending}", known)
    read = read_stack(tmp_path / f"a{ending}")
    for name in ("pixel_size", "dwell_time", "exposure", "voltage", "current", "detector"):
        assert getattr(read, name) == getattr(known, name), name
    np.testing.assert_array_equal(read.times, known.times)
    stage = read.metadata["original_metadata"]["stage"]
    assert stage["alpha"] == 1.5
    assert list(stage["names"]) == ["a", "b"]
    # Writing again does not add metadata.
    write_stack(tmp_path / f"b{ending}", read)
    again = read_stack(tmp_path / f"b{ending}")
    assert set(again.metadata) == set(read.metadata)
    assert again.metadata["original_metadata"]["stage"]["alpha"] == 1.5


def test_metadata_of_a_tif_are_read_back(tmp_path):
    metadata = {"stage": {"alpha": np.float64(1.5)}, "mode": "STEM", "on": True}
    write_stack(tmp_path / "a.tif", FrameStack(SMALL, 0.02, metadata=metadata))
    assert read_stack(tmp_path / "a.tif").metadata == {
        "stage": {"alpha": 1.5},
        "mode": "STEM",
        "on": True,
    }


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "f4"])
def test_tags_of_a_tif_are_those_of_digitalmicrograph(tmp_path, dtype):
    write_stack(tmp_path / "a.tif", SMALL.astype(dtype), pixel_size=(0.02, 0.03))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        tags = tiff.pages[0].tags
        assert [tags.valueof(tag) for tag in (65003, 65004)] == ["nm", "nm"]
        assert [tags.valueof(tag) for tag in (65009, 65010)] == [0.03, 0.02]  # x, then y
        assert tiff.is_imagej == (dtype != "u4")
        if tiff.is_imagej:
            assert tiff.imagej_metadata["unit"] == "nm"
            assert tiff.imagej_metadata["frames"] == 3


@pytest.mark.parametrize("ending", [".tif", ".hspy"])
def test_rosettasciio_reads_what_is_written(tmp_path, ending):
    pytest.importorskip("rsciio", reason="needs the extra stemkit[formats]")
    from rsciio import hspy, tiff

    write_stack(tmp_path / f"a{ending}", SMALL, pixel_size=0.025)
    reader = tiff if ending == ".tif" else hspy
    (signal,) = reader.file_reader(str(tmp_path / f"a{ending}"))
    np.testing.assert_array_equal(signal["data"], SMALL)
    y, x = signal["axes"][-2:]
    assert [y["units"], x["units"]] == ["nm", "nm"]
    assert [y["scale"], x["scale"]] == pytest.approx([0.025, 0.025])


def test_an_ome_tif_is_one(tmp_path):
    write_stack(tmp_path / "a.ome.tif", SMALL, pixel_size=0.02)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        assert tiff.is_ome
        assert 'PhysicalSizeX="0.02"' in tiff.ome_metadata
        assert tiff.series[0].axes == "TYX"


@pytest.mark.parametrize("stack", [SMALL.astype("i8"), SMALL.astype("u8"), SMALL.astype(bool)])
@pytest.mark.parametrize("ending", [".tif", ".npy"])
def test_integers_of_64_bits_and_booleans_are_kept_exactly(tmp_path, stack, ending):
    write_stack(tmp_path / f"a{ending}", stack)
    np.testing.assert_array_equal(read_stack(tmp_path / f"a{ending}").frames, stack)


def test_an_existing_folder_is_not_replaced_by_a_zspy(tmp_path):
    skip_without_packages(".zspy")
    (tmp_path / "a.zspy").mkdir()
    (tmp_path / "a.zspy" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="no zspy file"):
        write_stack(tmp_path / "a.zspy", SMALL)
    assert (tmp_path / "a.zspy" / "notes.txt").read_text() == "mine"
    write_stack(tmp_path / "b.zspy", SMALL)
    write_stack(tmp_path / "b.zspy", SMALL + 1)
    np.testing.assert_array_equal(read_stack(tmp_path / "b.zspy").frames, SMALL + 1)


@pytest.mark.parametrize("ending", [".mrc", ".hspy", ".zspy"])
def test_a_missing_package_is_named_with_the_command(tmp_path, monkeypatch, ending):
    for name in ("mrcfile", "rsciio", "rsciio.hspy", "zarr"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'stemkit\[formats\]'"):
        write_stack(tmp_path / f"a{ending}", SMALL)
    (tmp_path / f"a{ending}").write_bytes(b"anything")
    with pytest.raises(ImportError, match=r"needs the package .* pip install 'stemkit\[formats\]'"):
        read_stack(tmp_path / f"a{ending}")


@pytest.mark.parametrize(
    "name, stack, pixel_size, message",
    [
        ("a.png", np.zeros((1, 2, 2)), None, "path must end in .tif, .tiff, .npy"),
        ("a.dm4", np.zeros((1, 2, 2)), None, "path must end in"),
        ("a.tif", np.full((1, 2, 2), np.nan), None, "stack holds NaN.*frame 0"),
        ("a.npy", np.array([[[0.0]], [[np.inf]]]), None, "frame 1"),
        ("a.hspy", np.full((1, 2, 2), 1e39), None, "beyond float32"),
        ("a.tif", np.zeros(3), None, "stack has shape"),
        ("a.tif", np.zeros((0, 2, 2)), None, "stack has shape"),
        ("a.tif", np.zeros((1, 2, 2), complex), None, "stack has dtype complex"),
        ("a.tif", [[[1.0]], [[1.0, 2.0]]], None, "stack holds frames of different shapes"),
        ("a.tif", "b.tif", None, "stack is a path"),
        ("a.tif", np.zeros((1, 2, 2)), 0.0, "pixel_size"),
        ("a.tif", np.zeros((1, 2, 2)), float("nan"), "pixel_size"),
    ],
)
def test_errors_of_write_stack_name_the_argument(tmp_path, name, stack, pixel_size, message):
    with pytest.raises(ValueError, match=message):
        write_stack(tmp_path / name, stack, pixel_size=pixel_size)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "gigabytes, is_big", [(1.0, False), (4.2, False), (4.28, True), (4.3, True), (9.0, True)]
)
def test_a_stack_that_a_classic_tif_cannot_hold_becomes_a_bigtiff(
    tmp_path, monkeypatch, gigabytes, is_big
):
    # Offsets of a classic tif have 32 bits, and its tables take some of the 4.295 GB.
    layouts = []

    def record(file, data, **layout):
        layouts.append(layout)
        file.write_bytes(b"written")

    class Writer:
        def __init__(self, file, bigtiff):
            self.file, self.bigtiff = file, bigtiff

        def __enter__(self):
            return self

        def __exit__(self, *_):
            record(self.file, None, bigtiff=self.bigtiff, **self.layout)

        def write(self, page, contiguous, metadata, **layout):
            self.layout = layout

    monkeypatch.setattr(tifffile, "imwrite", record)
    monkeypatch.setattr(tifffile, "TiffWriter", Writer)
    frames = np.broadcast_to(np.float32(0), (round(gigabytes * 1000), 1000, 250))
    write_stack(tmp_path / "a.tif", frames, pixel_size=0.5)
    (layout,) = layouts
    assert layout.get("bigtiff", False) == is_big
    assert layout.get("imagej", False) == (not is_big)
    assert layout["resolution"] == (2.0, 2.0)


def test_a_failed_write_keeps_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    write_stack(path, np.ones((2, 4, 4)))
    before = path.read_bytes()

    def full_disk(file, data, **_):
        file.write_bytes(b"half a file")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(tifffile, "imwrite", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_stack(path, np.zeros((2, 4, 4)))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("pixel_size", [1e-9, np.float32(0.5), 1e9])
def test_every_valid_pixel_size_comes_back(tmp_path, pixel_size):
    write_stack(tmp_path / "a.tif", SMALL, pixel_size=pixel_size)
    assert read_stack(tmp_path / "a.tif").pixel_size == pytest.approx(pixel_size, rel=1e-6)


@pytest.mark.parametrize("pixel_size", ["0.1", True, -1, [0.1], 0, 1e-10, 1e30])
def test_an_invalid_pixel_size_is_an_error(tmp_path, pixel_size):
    with pytest.raises(ValueError, match=r"^pixel_size must be a finite number of nm in \[1e-09, "):
        write_stack(tmp_path / "a.tif", SMALL, pixel_size=pixel_size)


@pytest.mark.parametrize("n_frames", range(1, 5))
@pytest.mark.parametrize("height", [1, 2, 3, 5])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_thin_stacks_are_not_transposed(tmp_path, n_frames, height, width):
    stack = np.arange(n_frames * height * width, dtype=np.float32).reshape(n_frames, height, width)
    write_stack(tmp_path / "a.tif", stack, pixel_size=0.1)
    np.testing.assert_array_equal(read_stack(tmp_path / "a.tif").frames, stack)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "f4", "f8"])
@pytest.mark.parametrize("shape", [(3, 5, 1), (3, 1, 5), (1, 5, 1), (4, 3, 3), (3, 2, 2)])
@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
def test_thin_stacks_of_any_type_have_their_height_and_width(tmp_path, dtype, shape, ending):
    stack = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    path = tmp_path / f"a{ending}"
    write_stack(path, stack, pixel_size=0.1)
    np.testing.assert_array_equal(read_stack(path).frames, stack)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        assert (page.imagelength, page.imagewidth) == shape[1:]
