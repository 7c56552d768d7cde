"""Files of frames that are cut, emptied or have wrong bytes: the same frames, or one short error.

HDF5 itself may end the process on wrong bytes in its tables (hspy, emd), which no reader in the
same process can prevent; so only the frames of these files, and their first bytes, are changed.
"""

import re
import shutil
import warnings
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from stemkit.io import FrameStack, read_stack, write_stack

FRAMES = np.random.default_rng(0).integers(1, 4000, (3, 24, 20)).astype("uint16")
NEED_EXTRA = ("mrc", "hspy", "zspy", "emd")
ENDINGS = ("tif", "ome.tif", "npy", "png", *NEED_EXTRA)
HDF5 = ("hspy", "emd")
# Wrong bytes may be those of the intensities, but none of these changes may give wrong frames.
LOSSES = ("cut", "empty", "half", "zeros at the end removed")
N_COPIES = 25


def write_good(path, ending):
    if ending == "png":
        iio.imwrite(path, FRAMES[0])
    elif ending == "emd":
        from rsciio.emd import file_writer

        from stemkit.io._rosettasciio import signal_dict

        file_writer(str(path), signal_dict(FrameStack(FRAMES, 0.02)))
    else:
        write_stack(path, FrameStack(FRAMES, 0.02))


@pytest.fixture(scope="module", params=ENDINGS)
def good(request, tmp_path_factory):
    if request.param in NEED_EXTRA:
        pytest.importorskip("rsciio")
    path = tmp_path_factory.mktemp("files") / f"good.{request.param}"
    write_good(path, request.param)
    return path


def spoil(rng, file, *, only_losses):
    """Change a file at random, and return what was done to it."""
    content = bytearray(file.read_bytes())
    kinds = LOSSES if only_losses else (*LOSSES, "flipped bits", "wrong header", "longer")
    kind = str(rng.choice(kinds))
    if kind == "cut":
        content = content[: rng.integers(len(content))]
    elif kind == "empty":
        content.clear()
    elif kind == "half":
        content = content[: len(content) // 2]
    elif kind == "zeros at the end removed":
        content = content[:-1]
    elif kind == "longer":
        content += bytes(rng.integers(0, 256, 40, dtype="uint8"))
    else:
        end = len(content) if kind == "flipped bits" else min(len(content), 1200)
        for place in rng.integers(end, size=rng.integers(1, 6)):
            content[place] ^= 1 << rng.integers(8)
    file.write_bytes(content)
    return kind


def copy_of(good, folder):
    path = folder / good.name.replace("good", "spoilt")
    (shutil.copytree if good.is_dir() else shutil.copy)(good, path)
    return path


def read_quietly(path):
    """Read a file, or return None after an error of one or two sentences that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_stack(path)
    except (ValueError, OSError, MemoryError) as error:
        message = str(error)
    assert path.name in message
    assert len(message) < 600
    assert len(re.findall(r"[.!] [A-Z]", message)) <= 2, message
    return None


def test_spoilt_files_give_their_frames_or_a_short_error(good, tmp_path):
    shape = read_stack(good).shape
    ending = good.name.partition(".")[2]
    rng = np.random.default_rng(ENDINGS.index(ending))
    refused = 0
    for _ in range(N_COPIES):
        path = copy_of(good, tmp_path)
        parts = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
        kind = spoil(rng, parts[rng.integers(len(parts))], only_losses=ending in HDF5)
        stack = read_quietly(path)
        refused += stack is None
        if stack is not None:
            assert stack.shape == shape, kind
            if kind in LOSSES:
                np.testing.assert_array_equal(stack.frames, FRAMES[: shape[0]], err_msg=kind)
        (shutil.rmtree if path.is_dir() else Path.unlink)(path)
    assert refused > N_COPIES / 4


def test_wrong_signatures_are_named(good, tmp_path):
    path = copy_of(good, tmp_path)
    if path.is_dir():
        pytest.skip("a folder has no signature")
    content = bytearray(path.read_bytes())
    content[:8] = b"\0" * 8
    if not good.name.endswith("mrc"):  # an mrc file begins with its size
        path.write_bytes(content)
        assert read_quietly(path) is None
    path.write_bytes(b"no frames, but text that goes on for a while\n" * 30)
    assert read_quietly(path) is None


@pytest.mark.parametrize("ending", ["dm3", "dm4", "ser", "emi", "tvips", "nxs", "h5", "mib", "blo"])
@pytest.mark.parametrize("size", [0, 3, 600])
def test_bytes_that_are_no_file_of_their_ending_are_named(tmp_path, ending, size):
    pytest.importorskip("rsciio")
    path = tmp_path / f"spoilt.{ending}"
    for seed in range(4):
        path.write_bytes(np.random.default_rng(seed).bytes(size))
        assert read_quietly(path) is None


@pytest.mark.parametrize("ending", ["dm3", "dm4"])
def test_cut_files_of_a_microscope_are_errors(shared_data, tmp_path, ending):
    pytest.importorskip("rsciio")
    files = sorted((shared_data / "formats").rglob(f"*.{ending}"))
    if not files:
        pytest.skip(f"there is no {ending} file")
    content = files[0].read_bytes()
    whole = read_stack(files[0])
    path = tmp_path / f"spoilt.{ending}"
    rng = np.random.default_rng(0)
    for length in (8, len(content) // 2, *rng.integers(len(content), size=4)):
        path.write_bytes(content[:length])
        stack = read_quietly(path)
        assert stack is None or np.array_equal(stack.frames, whole.frames)
