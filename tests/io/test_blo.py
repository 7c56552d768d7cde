"""Tests of the header of blo files."""

import numpy as np
import pytest

from stemkit.io import read_stack
from stemkit.io._blo import check_blo


@pytest.fixture
def good(tmp_path):
    """A file of 4 x 3 patterns of 16 x 16 px, written by RosettaSciIO."""
    blockfile = pytest.importorskip("rsciio.blockfile")
    path = tmp_path / "good.blo"
    sizes = ((4, True, "nm"), (3, True, "nm"), (16, False, "cm"), (16, False, "cm"))
    axes = [
        {
            "name": f"axis {i}",
            "size": size,
            "scale": 1.0,
            "offset": 0.0,
            "units": units,
            "navigate": navigate,
            "index_in_array": i,
        }
        for i, (size, navigate, units) in enumerate(sizes)
    ]
    signal = {
        "data": np.random.default_rng(0).integers(0, 255, (4, 3, 16, 16)).astype("uint8"),
        "axes": axes,
        "metadata": {},
        "original_metadata": {},
        "attributes": {"_lazy": False},
    }
    blockfile.file_writer(str(path), signal, navigator=None)
    return path


def test_a_whole_file_is_handed_on(good):
    check_blo(good)
    with pytest.raises(ValueError, match=r"holds no frames of real numbers, but .*4 x 3 x 16 x 16"):
        read_stack(good)


@pytest.mark.parametrize("left_out", [1, 300, 4000, 7230])
def test_cut_files_are_named(good, left_out):
    good.write_bytes(good.read_bytes()[:-left_out])
    with pytest.raises(ValueError, match=r"good.blo can.t be read as blo: its header needs 7264 b"):
        read_stack(good)


@pytest.mark.parametrize(
    "place, message",
    [
        (0, "does not begin as a blo file"),
        (11, "sizes or offsets that no blo file has"),
        (20, "its header needs"),
        (24, "its header needs"),
        (26, "its header needs"),
    ],
)
def test_wrong_headers_are_named_at_once(good, place, message):
    content = bytearray(good.read_bytes())
    content[place : place + 2] = b"\xff\xff"
    good.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_stack(good)
