import io

import hypothesis.extra.numpy as hnp
import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from skimage.io import imread

from stemkit.io import FrameStack, read_stack, write_stack

shapes = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    # One folder for all examples of hypothesis, which does not allow tmp_path.
    return tmp_path_factory.mktemp("io")


def random_counts(dtype="u2", shape=(3, 20, 30)):
    top = min(np.iinfo(dtype).max, 2**24)
    return np.random.default_rng(0).integers(0, top, shape).astype(dtype)


@given(
    stack=hnp.arrays(
        np.float32,
        shapes,
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    pixel_size=st.none() | st.floats(1e-3, 1e3),
)
def test_read_stack_inverts_write_stack(folder, stack, pixel_size):
    path = folder / "stack.tif"
    write_stack(path, stack, pixel_size=pixel_size)
    read = read_stack(path)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read.frames, stack)
    assert len(read.names) == len(stack)
    assert read.pixel_size == (None if pixel_size is None else pytest.approx(pixel_size, rel=1e-5))


@given(
    stack=hnp.arrays(
        st.sampled_from(["u1", "u2", "i2", "f4", ">u2"]), shapes, elements=st.integers(0, 127)
    ),
    suffix=st.sampled_from([".npy", ".tif", ".png"]),
)
def test_intensities_of_all_formats_are_kept(folder, stack, suffix):
    paths = [folder / f"{i}{suffix}" for i in range(len(stack))]
    for path, frame in zip(paths, stack, strict=True):
        if suffix == ".npy":
            np.save(path, frame)
        elif suffix == ".tif":
            tifffile.imwrite(path, frame, photometric="minisblack")
        else:
            iio.imwrite(path, frame.astype("u2"))
    read = read_stack(paths)
    np.testing.assert_array_equal(read.frames, stack)
    assert read.dtype == ("u2" if suffix == ".png" else stack.dtype.newbyteorder("="))
    assert read.names == tuple(path.name for path in paths)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_png_agrees_with_scikit_image(tmp_path, dtype):
    frame = random_counts(dtype)[0]
    iio.imwrite(tmp_path / "a.png", frame)
    np.testing.assert_array_equal(
        read_stack(tmp_path / "a.png").frames[0], imread(tmp_path / "a.png")
    )
    np.testing.assert_array_equal(read_stack(tmp_path / "a.png").frames[0], frame)


def test_tif_pages_and_files_are_joined_in_the_order_given(tmp_path):
    stack = random_counts("u4") + np.uint32(2**31 + 1)
    tifffile.imwrite(tmp_path / "b.tif", stack[1:], photometric="minisblack")
    np.save(tmp_path / "a.npy", stack[0])
    read = read_stack([tmp_path / "b.tif", str(tmp_path / "a.npy")])
    assert read.dtype == np.uint32  # float32 would round the values
    np.testing.assert_array_equal(read.frames, stack[[1, 2, 0]])
    assert read.names == ("b.tif[0]", "b.tif[1]", "a.npy")


def test_three_frames_that_tifffile_stored_as_colours_are_frames(tmp_path):
    stack = random_counts()
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_stack(tmp_path / "a.tif").frames, stack)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colour_images_are_read_if_they_contain_only_grey(tmp_path, suffix):
    grey = random_counts("u1")[0]
    path = tmp_path / f"a{suffix}"
    iio.imwrite(path, np.repeat(grey[..., np.newaxis], 3, axis=-1))
    np.testing.assert_array_equal(read_stack(path).frames, grey[np.newaxis])
    iio.imwrite(path, np.moveaxis(random_counts("u1"), 0, -1))
    with pytest.raises(ValueError, match=rf"a\{suffix} .*colours"):
        read_stack(path)


def test_opacity_is_ignored_if_constant_and_an_error_otherwise(tmp_path):
    rgba = np.repeat(random_counts("u1")[0][..., np.newaxis], 4, axis=-1)
    rgba[..., 3] = 255
    iio.imwrite(tmp_path / "a.png", rgba)
    np.testing.assert_array_equal(read_stack(tmp_path / "a.png").frames[0], rgba[..., 0])
    rgba[3, 4, 3] = 100
    iio.imwrite(tmp_path / "a.png", rgba)
    with pytest.raises(ValueError, match="transparent"):
        read_stack(tmp_path / "a.png")


@pytest.mark.parametrize(
    "unit, expected",
    [
        ("nm", 0.05),
        ("pm", 5e-5),
        ("\\u00C5", 0.005),
        ("A", 0.005),
        ("nanometer", 0.05),
        ("angstrom", 0.005),
        ("um", 50.0),
        ("micron", 50.0),
        ("Micron", 50.0),
        ("\\u00B5m", 50.0),
        ("pixel", None),
        ("", None),
    ],
)
def test_pixel_size_in_nm_from_imagej_headers(tmp_path, unit, expected):
    tifffile.imwrite(
        tmp_path / "a.tif",
        random_counts(),
        imagej=True,
        resolution=(20, 20),
        metadata={"unit": unit, "axes": "TYX"},
    )
    assert read_stack(tmp_path / "a.tif").pixel_size == expected


def test_a_printing_resolution_is_no_pixel_size(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", random_counts()[0], resolution=(72, 72), resolutionunit="INCH"
    )
    assert read_stack(tmp_path / "a.tif").pixel_size is None


def test_oblong_pixels_have_two_sizes(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, random_counts()[0], imagej=True, resolution=(20, 25), metadata={"unit": "nm"}
    )
    read = read_stack(path)
    assert read.pixel_size == (0.04, 0.05)
    write_stack(tmp_path / "b.tif", read)
    assert read_stack(tmp_path / "b.tif").pixel_size == pytest.approx((0.04, 0.05))


def test_a_unit_without_a_resolution_gives_no_pixel_size(tmp_path):
    description = "ImageJ=1.11a\nimages=1\nunit=nm\n"
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(random_counts()[0], description=description, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        assert tiff.imagej_metadata["unit"] == "nm"
    # tifffile always writes these two tags, so their numbers are changed to unknown ones.
    content = (tmp_path / "a.tif").read_bytes()
    for tag in (282, 283):
        old, new = tag.to_bytes(2, "little"), (65000 + tag).to_bytes(2, "little")
        assert content.count(old + b"\x05\x00\x01\x00") == 1
        content = content.replace(old + b"\x05\x00\x01\x00", new + b"\x05\x00\x01\x00")
    (tmp_path / "a.tif").write_bytes(content)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert "XResolution" not in tiff.pages[0].tags
    assert read_stack(tmp_path / "a.tif").pixel_size is None


@pytest.mark.parametrize("oblong, expected", [(1.005, 0.05), (1.02, (0.0490196, 0.05))])
def test_pixels_are_square_to_a_percent(tmp_path, oblong, expected):
    tifffile.imwrite(
        tmp_path / "a.tif",
        random_counts(),
        imagej=True,
        resolution=(20, 20 * oblong),
        metadata={"unit": "nm", "axes": "TYX"},
    )
    assert read_stack(tmp_path / "a.tif").pixel_size == expected


def test_pixel_size_of_hyperspy_tif(shared_data):
    paths = sorted((shared_data / "ptnc").glob("04[78]*.tif"))
    read = read_stack(paths)
    assert read.frames.shape == (2, 512, 512)
    assert read.pixel_size == pytest.approx(15 / 512, rel=1e-4)
    np.testing.assert_array_equal(read.frames[0], tifffile.imread(paths[0]))


def test_errors_name_files_of_different_shape_or_pixel_size(tmp_path):
    write_stack(tmp_path / "a.tif", np.zeros((1, 8, 9)), pixel_size=0.1)
    write_stack(tmp_path / "b.tif", np.zeros((1, 9, 8)), pixel_size=0.1)
    write_stack(tmp_path / "c.tif", np.zeros((1, 8, 9)), pixel_size=0.2)
    with pytest.raises(ValueError, match=r"one shape.*a\.tif has 8 x 9.*b\.tif has 9 x 8"):
        read_stack([tmp_path / "a.tif", tmp_path / "b.tif"])
    with pytest.raises(ValueError, match=r"one pixel size.*a\.tif has 0\.1 nm.*c\.tif has 0\.2 nm"):
        read_stack([tmp_path / "a.tif", tmp_path / "c.tif"])


@pytest.mark.parametrize("difference, are_equal", [(0.003, True), (0.009, True), (0.015, False)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_pixel_sizes_may_differ_by_a_percent(tmp_path, difference, are_equal, scale):
    # Two calibrations of one microscope, or rounded numbers, differ by as much.
    sizes = {"a.tif": scale, "b.tif": scale * (1 + difference)}
    for name, size in sizes.items():
        write_stack(tmp_path / name, SMALL, pixel_size=size)
    for paths in (["a.tif", "b.tif"], ["b.tif", "a.tif"]):
        files = [tmp_path / name for name in paths]
        if are_equal:
            assert read_stack(files).pixel_size == pytest.approx(sizes[paths[0]], rel=1e-5)
        else:
            with pytest.raises(ValueError, match="one pixel size"):
                read_stack(files)


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("a.jpg", b"", "ending"),
        ("a", b"", "ending"),
        ("a.png", b"", "can't be read as png"),
        ("a.tif", b"II*\0hello", "can't be read as tif"),
        ("a.npy", b"hello", "can't be read as npy"),
        ("a.npy", npy_bytes(np.array([{}])), "can't be read as npy"),
        ("a.npy", npy_bytes(np.zeros(4)), r"shape \(4,\)"),
        ("a.npy", npy_bytes(np.zeros((0, 4, 4))), r"shape \(0, 4, 4\)"),
        ("a.npy", npy_bytes(np.zeros((4, 4), complex)), "complex128"),
        ("a.npy", npy_bytes(np.array([[0.0, np.nan]])), "frame 0"),
        ("a.npy", npy_bytes(np.array([[[0.0]], [[1e300]]])), "frame 1"),
    ],
)
def test_errors_name_the_file_and_the_reason(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        read_stack(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_name_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.png"):
        read_stack(tmp_path / "missing.png")
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(FileNotFoundError, match=r"folder\.tif is a folder without any file"):
        read_stack(tmp_path / "folder.tif")
    with pytest.raises(FileNotFoundError, match=r"no file matches .*\*\.png"):
        read_stack(tmp_path / "*.png")
    with pytest.raises(ValueError, match="paths is empty"):
        read_stack([])
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere does not exist"):
        write_stack(tmp_path / "nowhere" / "a.tif", SMALL)


SMALL = random_counts(shape=(3, 6, 7))


def png_bytes():
    return iio.imwrite("<bytes>", SMALL[0], extension=".png")


def tif_bytes(compression):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for frame in SMALL:
            writer.write(frame, metadata=None, contiguous=False, compression=compression)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "suffix, whole",
    [
        (".png", png_bytes()),
        (".tif", tif_bytes(None)),
        (".tif", tif_bytes("zlib")),
        (".npy", npy_bytes(SMALL)),
    ],
    ids=["png", "tif", "zlib tif", "npy"],
)
def test_a_truncated_file_is_an_error_or_has_all_frames(tmp_path, suffix, whole):
    (tmp_path / f"whole{suffix}").write_bytes(whole)
    expected = read_stack(tmp_path / f"whole{suffix}").frames
    truncated = tmp_path / f"truncated{suffix}"
    for length in range(len(whole)):
        truncated.write_bytes(whole[:length])
        try:
            frames = read_stack(truncated).frames
        except ValueError:
            continue
        # No error if only padding or a trailer is missing.
        np.testing.assert_array_equal(frames, expected)


def test_16_bit_colour_png_is_an_error(tmp_path):
    png = bytearray(png_bytes())
    png[25] = 2  # the colour type in the header: RGB
    (tmp_path / "a.png").write_bytes(png)
    with pytest.raises(ValueError, match="16 bits"):
        read_stack(tmp_path / "a.png")


@pytest.mark.parametrize("paths", [5, None, [b"a.tif"], ["a.tif", 3], "", "a\0.tif", np.array(1.0)])
def test_paths_of_another_type_are_an_error(paths):
    with pytest.raises(TypeError, match="paths must be a path; got"):
        read_stack(paths)


def test_a_mapping_is_no_list_of_paths():
    with pytest.raises(ValueError, match=r"^paths must be a path; got \{'a.tif': 1\}"):
        read_stack({"a.tif": 1})


@pytest.mark.parametrize("name", ["exposure", "dwell_time"])
def test_exposures_that_differ_between_files_are_kept_for_each_frame(tmp_path, name):
    pytest.importorskip("rsciio")
    for index, value in enumerate((0.5, 0.5, 2.0)):
        stack = FrameStack(random_counts(shape=(1 + index, 8, 9)), **{name: value})
        write_stack(tmp_path / f"{index}.hspy", stack)
    read = read_stack(tmp_path)
    np.testing.assert_allclose(getattr(read, name), [0.5, 0.5, 0.5, 2, 2, 2])
    np.testing.assert_allclose(getattr(read[2:4], name), [0.5, 2])
    assert "0.5 to 2" in repr(read).replace("5e+05 to 2e+06", "0.5 to 2")
    alike = read_stack([tmp_path / f"{index}.hspy" for index in range(2)])
    assert getattr(alike, name) == 0.5
    # A series in one file keeps one number for each frame, too.
    write_stack(tmp_path / "all.hspy", read)
    again = read_stack(tmp_path / "all.hspy")
    np.testing.assert_allclose(getattr(again, name), getattr(read, name))


def test_an_exposure_that_one_file_lacks_is_unknown(tmp_path):
    pytest.importorskip("rsciio")
    write_stack(tmp_path / "0.hspy", FrameStack(random_counts(), exposure=0.5))
    write_stack(tmp_path / "1.hspy", random_counts())
    assert read_stack(tmp_path).exposure is None
