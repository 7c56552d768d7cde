import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

from stemkit._validation import (
    check_frames,
    check_masked_pairs,
    check_pair,
    check_stack,
    check_times,
    check_weights,
    rescale_to_float32,
)
from stemkit.io import FrameStack

REAL = ["bool", "int8", "uint8", "uint16", "int64", "float16", "float32", "float64", ">f4", ">i2"]


@pytest.mark.parametrize("dtype", REAL)
def test_any_real_dtype_keeps_its_values(dtype):
    X = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    frames = check_frames(X)
    assert frames.dtype == np.float32
    assert frames.dtype.isnative
    np.testing.assert_array_equal(frames, X.astype(float))


def test_full_range_of_a_detector_is_kept_exactly():
    brim = np.array([[[0, 1, 255, 256, 32767, 32768, 65534, 65535]]], dtype="uint16")
    np.testing.assert_array_equal(check_frames(brim), brim)


def test_float32_is_not_copied_nor_written():
    X = np.ones((2, 3, 4), dtype="float32")
    X.flags.writeable = False
    assert np.shares_memory(check_frames(X), X)
    assert np.shares_memory(check_pair(X), X)
    assert np.shares_memory(check_masked_pairs(X[np.newaxis], bad_pixels=None)[0], X)


@pytest.mark.parametrize(
    "view",
    [
        np.ones((3, 4, 2), dtype="float32").T,
        np.ones((2, 8, 6), dtype="float32")[:, ::-2, ::3],
        np.asfortranarray(np.ones((2, 3, 4), dtype="float32")),
        np.broadcast_to(np.float32(1), (2, 3, 4)),
    ],
)
def test_memory_layout_does_not_matter(view):
    frames = check_frames(view)
    assert frames.flags.c_contiguous
    np.testing.assert_array_equal(frames, view)


def test_lists_and_subclasses_become_plain_arrays():
    class Tagged(np.ndarray):
        pass

    assert check_frames([[[1, 2], [3, 4]]]).shape == (1, 2, 2)
    assert type(check_frames(np.ones((1, 2, 2), "float32").view(Tagged))) is np.ndarray


def poisoned(value, shape=(3, 4, 5), at=(1, 2, 3), dtype="float64"):
    X = np.ones(shape, dtype)
    X[at] = value
    return X


ragged = [np.ones((2, 2)), np.ones((3, 2))]
mixed = np.empty((1, 2, 2), dtype=object)


@pytest.mark.parametrize(
    "X, what",
    [
        (np.ones((4, 5)), r"np\.newaxis"),
        (np.ones(4), "1 dimensions"),
        (np.float32(1), "0 dimensions"),
        (np.ones((1, 2, 3, 4)), "4 dimensions"),
        (np.ones((0, 4, 5)), "0 frame"),
        (np.ones((2, 0, 5)), r"empty frames of shape \(0, 5\)"),
        (np.ones((2, 5, 0)), "empty frames"),
        (ragged, "different shapes"),
        (mixed, "object"),
        (np.ones((1, 2, 2), dtype=complex), "complex128.*modulus"),
        (np.full((1, 2, 2), "a"), "real numbers"),
        (np.zeros((1, 2, 2), dtype="datetime64[s]"), "datetime64.*real numbers"),
        (poisoned(np.nan), "NaN in frame 1"),
        (poisoned(np.inf), "inf.*in frame 1"),
        (poisoned(-np.inf, at=(2, 0, 0)), "inf.*in frame 2"),
        (poisoned(1e39), "beyond float32 in frame 1"),
        (poisoned(np.nan, at=(slice(0, 2), 3, 4), dtype="float32"), "NaN in frame 0"),
    ],
)
def test_the_error_names_a_bad_stack(X, what):
    with pytest.raises(ValueError, match=what) as error:
        check_frames(X, name="series")
    assert str(error.value).startswith("series ")
    assert len(re.findall(r"[.;]\s", str(error.value) + " ")) <= 3


TENSORS = {
    "float": lambda t: t,
    "gradient": lambda t: t.clone().requires_grad_(),
    "graph": lambda t: t.clone().requires_grad_() * 1,
    "bfloat16": lambda t: t.bfloat16(),
    "half": lambda t: t.half(),
    "float8": lambda t: t.to(torch.float8_e4m3fn),
    "uint8": lambda t: t.byte(),
    "int64": lambda t: t.long(),
    "bool": lambda t: t.bool(),
    "transposed": lambda t: t.transpose(1, 2).contiguous().transpose(1, 2),
    "negative view": lambda t: torch.complex(t, -t).conj().imag,
    "list": lambda t: list(t.clone().requires_grad_()),
}


@pytest.mark.parametrize("convert", TENSORS.values(), ids=TENSORS)
def test_tensors_are_taken(convert):
    X = (torch.arange(24).reshape(2, 3, 4) % 2).float()
    for check in (check_frames, check_pair):
        frames = check(convert(X))
        assert frames.dtype == np.float32
        np.testing.assert_array_equal(frames, X.numpy())


@pytest.mark.parametrize("convert", TENSORS.values(), ids=TENSORS)
def test_tensors_of_lines_are_taken(convert):
    X = (torch.arange(8).reshape(2, 4, 1) % 2).float().transpose(1, 2)
    lines = convert(X)
    lines = [line[0] for line in lines] if isinstance(lines, list) else lines[:, 0]
    frames, shape = check_stack(lines, BaseEstimator(), reset=True)
    assert shape == (2, 4)
    np.testing.assert_array_equal(frames, X.numpy())


@pytest.mark.parametrize(
    "tensor, what",
    [
        (torch.ones(2, 3, 4, device="meta"), "meta device"),
        (torch.ones(2, 3, 4).to_sparse(), "sparse.*to_dense"),
        (torch.ones(2, 3, 4, dtype=torch.complex64), "complex64.*modulus"),
        ([torch.ones(3, 4), torch.ones(3, 5)], "different shapes"),
        (torch.ones(2, 3, 4) * torch.nan, "NaN in frame 0"),
    ],
)
def test_tensors_without_values_are_named(tensor, what):
    with pytest.raises(ValueError, match=rf"^series .*{what}"):
        check_frames(tensor, name="series")


def test_objects_that_fail_to_convert_are_named():
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("out of reach")

    with pytest.raises(ValueError, match=r"^X is a Broken .*out of reach"):
        check_frames(Broken())


def test_opposite_infinities_do_not_cancel():
    X = poisoned(np.inf)
    X[1, 0, 0] = -np.inf
    with pytest.raises(ValueError, match=r"inf.*in frame 1"):
        check_frames(X)


def test_largest_finite_values_pass():
    X = np.full((2, 3, 3), np.finfo("float32").max)
    np.testing.assert_array_equal(check_frames(X), X.astype("float32"))


@pytest.mark.parametrize(
    "X, advice",
    [
        ("a.tif", r"read_stack\('a.tif'\)"),
        (Path("a.tif"), r"read_stack\('a.tif'\)"),
        (Bunch(frames=np.zeros((2, 8, 8)), drift=np.zeros((2, 2))), r"pass X\.frames"),
    ],
)
def test_objects_that_hold_frames_are_not_taken_as_frames(X, advice):
    with pytest.raises(ValueError, match=advice):
        check_frames(X)


def test_a_frame_stack_is_taken_as_its_frames():
    frames = np.zeros((2, 8, 8), dtype="float32")
    assert check_frames(FrameStack(frames, 0.02)) is frames


def test_a_frame_taken_for_lines_is_pointed_out():
    class Estimator(BaseEstimator):
        pass

    frame = np.zeros((32, 48))
    with pytest.warns(UserWarning, match=r"\(32, 48\) is read as 32 lines.*X\[np\.newaxis\]"):
        frames, shape = check_stack(frame, Estimator(), reset=True)
    assert (frames.shape, shape) == ((32, 1, 48), (32, 48))
    for silent in (frame[np.newaxis], frame[:31], frame[:, :31]):
        check_stack(silent, Estimator(), reset=True)


def test_number_of_frames_is_asked_for():
    assert len(check_frames(np.ones((3, 2, 2)), min_frames=3)) == 3
    with pytest.raises(ValueError, match=r"stack holds 2 frame\(s\), but at least 3"):
        check_frames(np.ones((2, 2, 2)), name="stack", min_frames=3)


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 4, 5), (2, 0, 5), (2, 1, 4, 5)])
def test_a_wrong_shape_of_a_pair_is_an_error(shape):
    with pytest.raises(ValueError, match=r"pair has shape .* \(2, H, W\)"):
        check_pair(np.ones(shape))


@pytest.mark.parametrize("shape", [(2, 4, 5), (3, 1, 4, 5), (0, 2, 4, 5), (1, 2, 0, 5)])
def test_a_wrong_shape_of_pairs_is_an_error(shape):
    with pytest.raises(ValueError, match=r"X has shape .* \(n_pairs, 2, H, W\)"):
        check_masked_pairs(np.ones(shape), bad_pixels=None)


def test_bad_values_of_pairs_are_found():
    with pytest.raises(ValueError, match="pair contains NaN in frame 1"):
        check_pair(poisoned(np.nan, shape=(2, 4, 5)))
    with pytest.raises(ValueError, match="X contains NaN in pair 2"):
        check_masked_pairs(poisoned(np.nan, shape=(3, 2, 4, 5), at=(2, 1, 0, 0)), bad_pixels=None)


@pytest.mark.parametrize("peak", [1e-44, 1e-30, 1e-9, 1.0, 1e9, 1e30, 3e38])
@pytest.mark.parametrize("sign", [-1, 1])
def test_frames_are_rescaled_by_a_power_of_two(peak, sign):
    frames = (np.float32(sign * peak) * np.linspace(0, 1, 24, dtype="float32")).reshape(2, 3, 4)
    scaled, unit = rescale_to_float32(frames)
    np.testing.assert_array_equal(scaled * unit, frames)
    assert np.frexp(unit)[0] == 0.5
    assert 1e-9 <= np.abs(scaled).max() <= 1e9
    assert (scaled is frames) == (1e-9 < peak < 1e9)


def test_weights_are_checked():
    np.testing.assert_array_equal(check_weights(None, 3), np.ones(3))
    np.testing.assert_array_equal(check_weights([1, 0, 2], 3), [1, 0, 2])
    for bad in ([1, 2], [1, -1, 1], [0, 0, 0], [1, np.nan, 1]):
        with pytest.raises(ValueError, match="sample_weight must be 3 finite numbers"):
            check_weights(bad, 3)


@pytest.mark.parametrize(
    "t", [0, 1, 0.5, np.float32(0.25), [0, 0.5, 1], (1,), np.linspace(0, 1, 7)]
)
def test_times_keep_value_and_shape(t):
    times = check_times(t)
    assert times.dtype == np.float64
    assert times.shape == np.shape(t)
    np.testing.assert_array_equal(times, t)


@pytest.mark.parametrize(
    "t",
    [-1e-9, 1 + 1e-9, np.nan, np.inf, [0, 2], [0.5, np.nan], [], [[0, 1]], "now", None, [[0], []]],
)
def test_the_error_names_bad_times(t):
    with pytest.raises(ValueError, match=r"^when "):
        check_times(t, name="when")
