"""Tests of tif files as ImageJ, OME, DigitalMicrograph and microscopes write them."""

import logging
import threading
import warnings

import numpy as np
import pytest
import tifffile

from stemkit.io import read_stack, write_stack
from stemkit.io._tif import _log_errors_raised

RNG = np.random.default_rng(0)
HAADF = RNG.integers(0, 60000, (4, 24, 32)).astype("u2")
BF = HAADF.max() - HAADF
LAYOUTS = [{"imagej": True}, {"ome": True}]


def write_channels(path, layout, **metadata):
    both = np.stack([HAADF, BF], axis=1)
    tifffile.imwrite(path, both, metadata={"axes": "TCYX", **metadata}, **layout)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["ImageJ", "OME"])
def test_channels_of_a_movie_are_signals(tmp_path, layout):
    path = tmp_path / ("a.ome.tif" if "ome" in layout else "a.tif")
    write_channels(path, layout)
    with pytest.raises(ValueError, match=r"several signals, 0: channel 0, 1: channel 1.*signal="):
        read_stack(path)
    assert np.array_equal(read_stack(path, signal=0).frames, HAADF)
    assert np.array_equal(read_stack(path, signal="channel 1").frames, BF)
    with pytest.raises(ValueError, match="no signal 2, it holds 0: channel 0"):
        read_stack(path, signal=2)


def test_channels_have_the_names_that_ome_records(tmp_path):
    path = tmp_path / "a.ome.tif"
    write_channels(path, {"ome": True}, Channel={"Name": ["HAADF", "BF"]})
    stack = read_stack(path, signal="bf")
    assert stack.detector == "BF"
    assert np.array_equal(stack.frames, BF)


def test_channels_have_the_labels_that_imagej_records(tmp_path):
    labels = [name for _ in range(4) for name in ("HAADF", "BF")]
    write_channels(tmp_path / "a.tif", {"imagej": True}, Labels=labels)
    assert np.array_equal(read_stack(tmp_path / "a.tif", signal="HAADF").frames, HAADF)


def test_channels_without_times_are_frames_with_a_warning(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", HAADF, imagej=True)
    with pytest.warns(UserWarning, match="4 channels without names or times") as caught:
        assert np.array_equal(read_stack(tmp_path / "a.tif").frames, HAADF)
    assert caught[0].filename == __file__


def test_several_times_and_planes_are_an_error(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.stack([HAADF, BF]), imagej=True, metadata={"axes": "TZYX"}
    )
    with pytest.raises(ValueError, match="2 times and 4 focal planes"):
        read_stack(tmp_path / "a.tif")


@pytest.mark.parametrize("axis", "ZTI")
def test_planes_times_and_images_are_frames(tmp_path, axis):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, HAADF, photometric="minisblack", metadata={"axes": f"{axis}YX"})
    assert np.array_equal(read_stack(tmp_path / "a.tif").frames, HAADF)


@pytest.mark.parametrize("raw_first", [True, False])
def test_the_raw_page_is_taken_and_not_the_picture_of_it(tmp_path, raw_first):
    raw = HAADF[0]
    picture = np.repeat((raw / 256).astype("u1")[..., None], 3, axis=2)
    picture[-5:, 5:20] = 255  # the scale bar
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in (raw, picture) if raw_first else (picture, raw):
            file.write(page, photometric="minisblack" if page is raw else "rgb")
    stack = read_stack(tmp_path / "a.tif")
    assert stack.dtype == np.uint16
    assert np.array_equal(stack.frames, raw[None])


def test_pages_of_two_types_or_sizes_are_signals(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(HAADF[0], photometric="minisblack")
        file.write((HAADF[0] / 256).astype("u1"), photometric="minisblack")
        file.write(HAADF[1, :10], photometric="minisblack")
    with pytest.raises(ValueError, match="several signals, 0: pages of 24 x 32 px, uint16, 1: "):
        read_stack(tmp_path / "a.tif")
    assert np.array_equal(read_stack(tmp_path / "a.tif", signal="uint8").shape, (1, 24, 32))
    assert np.array_equal(read_stack(tmp_path / "a.tif", signal=2).frames, HAADF[1:2, :10])


def test_a_thumbnail_is_left_out(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(HAADF[0], photometric="minisblack")
        file.write(HAADF[0, ::4, ::4], photometric="minisblack", subfiletype=1)
    assert np.array_equal(read_stack(tmp_path / "a.tif").frames, HAADF[:1])


DM = [
    (65003, "s", 0, "nm", False),
    (65004, "s", 0, "nm", False),
    (65009, "d", 1, 0.02, False),
    (65010, "d", 1, 0.02, False),
]
FEI = "[Scan]\r\nPixelWidth=2e-11\r\nPixelHeight=2e-11\r\n"
OME = {
    "axes": "TYX",
    "PhysicalSizeX": 20,
    "PhysicalSizeXUnit": "pm",
    "PhysicalSizeY": 20,
    "PhysicalSizeYUnit": "pm",
}


@pytest.mark.parametrize(
    "name, layout",
    [
        ("dm.tif", {"extratags": DM}),
        ("fei.tif", {"extratags": [(34682, "s", 0, FEI, False)]}),
        ("sfeg.tif", {"extratags": [(34680, "s", 0, FEI, False)]}),
        ("a.ome.tif", {"metadata": OME}),
    ],
)
def test_pixel_sizes_of_microscopes(tmp_path, name, layout):
    frames = HAADF if "metadata" in layout else HAADF[0]
    tifffile.imwrite(tmp_path / name, frames, **layout)
    assert read_stack(tmp_path / name).pixel_size == pytest.approx(0.02)


def test_the_default_unit_of_ome_is_the_micrometre(tmp_path):
    metadata = {"axes": "TYX", "PhysicalSizeX": 2e-5, "PhysicalSizeY": 4e-5}
    tifffile.imwrite(tmp_path / "a.ome.tif", HAADF, metadata=metadata)
    assert read_stack(tmp_path / "a.ome.tif").pixel_size == pytest.approx((0.04, 0.02))


@pytest.mark.parametrize("unit", ["1/nm", "pixel", "", "mrad"])
def test_a_size_in_another_unit_is_no_pixel_size(tmp_path, unit):
    tags = [(65003, "s", 0, unit, False), (65004, "s", 0, unit, False), *DM[2:]]
    tifffile.imwrite(tmp_path / "a.tif", HAADF[0], extratags=tags)
    assert read_stack(tmp_path / "a.tif").pixel_size is None


@pytest.mark.parametrize("value", [0.0, -0.02, np.nan, np.inf])
def test_a_size_that_is_none_is_unknown(tmp_path, value):
    tags = [*DM[:2], *((tag, "d", 1, value, False) for tag in (65009, 65010))]
    tifffile.imwrite(tmp_path / "a.tif", HAADF[0], extratags=tags)
    assert read_stack(tmp_path / "a.tif").pixel_size is None


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_lazy_stack_stays_in_the_file(tmp_path, compression):
    pytest.importorskip("dask", reason="needs the extra stemkit[formats]")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, HAADF, photometric="minisblack", compression=compression)
    stack = read_stack(path, lazy=True)
    assert hasattr(stack.frames, "dask")
    assert stack.shape == HAADF.shape
    assert np.array_equal(np.asarray(stack), HAADF)
    write_channels(path, {"imagej": True})
    assert np.array_equal(np.asarray(read_stack(path, lazy=True, signal=1)), BF)


def test_a_file_that_claims_too_much_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.tif"
    write_stack(path, HAADF)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_stack(path, max_bytes=HAADF.nbytes).shape == HAADF.shape
    with pytest.raises(MemoryError, match=r"a\.tif would take .* max_bytes is .* lazy=True"):
        read_stack(path, max_bytes=HAADF.nbytes - 1)


def test_many_pages_on_one_strip_are_refused(tmp_path, monkeypatch):
    # A file of a few kB whose pages all point to the same compressed zeros.
    import psutil

    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for _ in range(3):
            file.write(np.zeros((3000, 3000), "u2"), compression="zlib", contiguous=False)
    assert path.stat().st_size < 100_000
    free = type("Free", (), {"available": 90_000_000})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(MemoryError, match="would take 54 MB, half of the free memory is 45 MB"):
        read_stack(path)


def test_series_of_one_kind_are_one_stack(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for part in (HAADF[:2], HAADF[2:]):
            file.write(part, photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.series) == 2
    assert np.array_equal(read_stack(path).frames, HAADF)


def test_errors_of_other_threads_are_logged_as_before(tmp_path):
    from threading import Thread

    from stemkit.io._tif import _log_errors_raised

    raised = []

    def log():
        try:
            tifffile.logger().error("harmless")
        except ValueError as error:
            raised.append(error)

    with _log_errors_raised(tifffile.logger()):
        thread = Thread(target=log)
        thread.start()
        thread.join()
        with pytest.raises(ValueError, match="harmful"):
            tifffile.logger().error("harmful")
    assert not raised


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_lazy_pages_are_those_of_their_own_series(tmp_path, compression):
    pytest.importorskip("dask", reason="needs the extra stemkit[formats]")
    wide, small = HAADF, BF[:, :10, :12].copy()
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for frames in (wide, small):
            file.write(frames, photometric="minisblack", metadata=None, compression=compression)
    for index, frames in enumerate((wide, small)):
        stack = read_stack(tmp_path / "a.tif", signal=index, lazy=True)
        assert hasattr(stack.frames, "dask")
        assert np.array_equal(np.asarray(stack), frames)
        assert np.array_equal(np.asarray(stack.frames[1:3, 2:]), frames[1:3, 2:])


def test_errors_that_are_logged_while_reading_are_raised_and_warnings_are_not():
    logger = logging.getLogger("stemkit.test")
    before = list(logger.handlers)
    with _log_errors_raised(logger):
        logger.warning("odd but readable")
        other = threading.Thread(target=logger.error, args=["in another thread"])
        other.start()
        other.join()
        with pytest.raises(ValueError, match="cut off"):
            logger.error("cut off")
    assert logger.handlers == before
    logger.error("after reading")
