"""Tests of the table of formats, and of a new format as CONTRIBUTING describes it."""

import sys
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest

from stemkit.io import FrameStack, _formats, read_stack


@pytest.mark.parametrize("module", sorted(set(_formats.FORMATS.values())))
def test_each_format_has_a_module_with_a_reader(module):
    assert callable(import_module(f"stemkit.io.{module}").read)


@pytest.mark.parametrize("ending", _formats.WRITTEN)
def test_formats_that_are_written_have_a_writer_and_a_reader(ending):
    assert callable(import_module(f"stemkit.io.{_formats.FORMATS[ending]}").write)


def test_endings_are_lower_case_and_files_in_upper_case_are_read(tmp_path):
    assert all(ending == ending.lower() for ending in _formats.FORMATS)
    with open(tmp_path / "A.NPY", "wb") as file:
        np.save(file, np.ones((2, 3)))
    assert read_stack(tmp_path / "A.NPY").frames.shape == (1, 2, 3)


def test_the_error_for_an_unknown_ending_lists_the_formats(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ValueError, match=r"unknown ending: .*\.tif, \.tiff, \.png, \.npy"):
        read_stack(tmp_path / "a.jpg")


def test_a_module_and_a_line_add_a_format(tmp_path, monkeypatch):
    def read(path):
        return [FrameStack(np.full((2, 3, 4), int(path.read_text())), 0.5, detector="HAADF")]

    module = ModuleType("stemkit.io._constant")
    module.read = read
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(_formats.FORMATS, ".constant", "_constant")
    (tmp_path / "a.constant").write_text("7")
    stack = read_stack(tmp_path / "a.constant")
    np.testing.assert_array_equal(stack.frames, np.full((2, 3, 4), 7))
    assert (stack.pixel_size, stack.detector) == (0.5, "HAADF")
    assert stack.names == ("a.constant[0]", "a.constant[1]")
