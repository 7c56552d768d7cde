"""Checks that noise functions share: limits of numbers, shapes of strengths, references."""

import inspect
import warnings

import numpy as np
import pytest
import torch

from stemkit.noise import functional
from stemkit.noise.functional._checks import (
    as_strengths,
    check_no_negative_frames,
    finite,
    is_signal,
    not_negative,
    on_frames,
    positive,
)
from stemkit.noise.functional._reference import reference_signal

FRAMES = np.ones((2, 3, 4, 5), dtype="float32")


@pytest.mark.parametrize(
    "constraint, good, bad",
    [
        (not_negative(), [0, 1e-300, 1e18], [-1e-300, 1.001e18, np.inf, np.nan]),
        (positive(), [1e-300, 1e18], [0, -1.0, 1.001e18, np.nan]),
        (finite(), [-1e18, 0, 1e18], [-1.001e18, 1.001e18, -np.inf, np.nan]),
    ],
)
def test_limits_of_parameters(constraint, good, bad):
    assert all(constraint.accepts(value) for value in good)
    assert not any(constraint.accepts(value) for value in bad)


@pytest.mark.parametrize("most", [1.0, 1e18])
def test_strengths_lie_between_0_and_the_most(most):
    for value in (0, most, np.float32(0.5), np.zeros((2, 3, 1, 1)), np.full((3, 1, 1), most)):
        as_strengths(value, "share", FRAMES, most)
    mixed = np.array([0, 1.01 * most]).reshape(2, 1, 1, 1)
    for value in (-1e-9, 1.01 * most, np.inf, np.nan, mixed, -mixed, 1j, "1", None, [[0.1], [0]]):
        with pytest.raises(ValueError, match=r"^share "):
            as_strengths(value, "share", FRAMES, most)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (3, 1, 1), (2, 3, 1, 1), (2, 1, 1, 1), (4, 5)])
def test_strengths_that_broadcast_to_the_frames_fit(shape):
    as_strengths(np.ones(shape), "sigma", FRAMES)
    as_strengths(torch.ones(shape), "sigma", torch.from_numpy(FRAMES))


@pytest.mark.parametrize("shape", [(2,), (2, 1, 1), (1, 2, 3, 1, 1), (0,), (2, 3, 4, 6)])
def test_strengths_of_other_shapes_do_not(shape):
    with pytest.raises(ValueError, match=r"does not fit frames .* of shape \(2, 3, 1, 1\)"):
        as_strengths(np.ones(shape), "sigma", FRAMES)


def test_strengths_are_of_the_library_of_the_frames():
    for values, frames in ((np.ones(1), torch.from_numpy(FRAMES)), (torch.ones(1), FRAMES)):
        with pytest.raises(ValueError, match="must both be arrays or both be tensors"):
            as_strengths(values, "sigma", frames)
    as_strengths(1.0, "sigma", torch.from_numpy(FRAMES))


def test_nested_lists_of_strengths_become_an_array():
    assert as_strengths(0.5, "sigma", FRAMES) == 0.5
    found = as_strengths([[[0.5]], [[1]], [[2]]], "sigma", FRAMES)
    np.testing.assert_array_equal(found, np.array([0.5, 1, 2]).reshape(3, 1, 1))


@pytest.mark.parametrize("name", functional.__all__)
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64])
def test_numbers_of_numpy_leave_frames_float32_and_the_noise_as_it_is(name, kind):
    function = getattr(functional, name)
    parameters = inspect.signature(function).parameters
    required = [p for p, v in parameters.items() if v.default is v.empty and p != "frames"]
    numbers = dict.fromkeys(required, 1 if kind is np.int64 else 0.5)
    if "shifts" in numbers:
        numbers["shifts"] = np.full(6, 0.5)
    if "generator" in parameters:
        numbers["generator"] = None
    frames = np.random.default_rng(0).uniform(1, 9, (2, 6, 7))

    def call(convert):
        given = {p: convert(v) if isinstance(v, int | float) else v for p, v in numbers.items()}
        if "generator" in given:
            given["generator"] = np.random.default_rng(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(frames, **given)

    try:
        expected = call(lambda value: value)
    except ValueError:
        pytest.skip("these numbers are not allowed")
    found = call(kind)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("function", [functional.gaussian_noise, functional.speckle_noise])
def test_strengths_of_float64_leave_frames_float32(function):
    strengths = np.full((2, 1, 1), 0.5)
    noisy = function(np.ones((2, 6, 7)), strengths, generator=np.random.default_rng(0))
    assert noisy.dtype == np.float32
    tensor = function(torch.ones(2, 6, 7), torch.from_numpy(strengths))
    assert tensor.dtype == torch.float32


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_signals_are_finite_and_above_0(make):
    assert is_signal(make([1e-30, 1.0, 1e30]))
    for bad in (0.0, -1.0, np.inf, np.nan):
        assert not is_signal(make([1.0, bad]))


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_frames_with_one_negative_pixel_are_an_error(make):
    check_no_negative_frames(make([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"reach down to -0\.25"):
        check_no_negative_frames(make([0.0, -0.25, 1.0]))


def test_a_result_beyond_float32_is_an_error_and_the_frames_themselves_are_not():
    @on_frames(factor=[finite()])
    def scaled(frames, factor):
        return frames if factor == 1 else frames * np.float32(factor)

    frames = np.array([[1e30, 2.0]], dtype="float64")
    assert scaled(frames, 2.0).dtype == np.float32
    assert scaled(frames, 1).dtype == np.float32
    with pytest.raises(ValueError, match=r"frames from 2 to 1e\+30 give values beyond float32"):
        scaled(frames, 1e18)
    with pytest.raises(ValueError, match=r"^factor must be"):
        scaled(frames, np.nan)


@pytest.mark.parametrize("make", [np.asarray, torch.tensor])
def test_the_mean_is_that_of_each_frame_and_1_of_an_empty_one(make):
    frames = np.stack([np.zeros((4, 5)), np.arange(20.0).reshape(4, 5)]).astype("float32")
    found = np.asarray(reference_signal(make(frames), "mean"))
    np.testing.assert_array_equal(found, [[[1]], [[9.5]]])
    with pytest.raises(ValueError, match="finite mean of at least 0"):
        reference_signal(make(-frames), "mean")


@pytest.mark.parametrize("reference", [1, 2.5, np.float32(3), 1e18])
def test_a_reference_may_be_a_number(reference):
    assert reference_signal(FRAMES, reference) == reference


@pytest.mark.parametrize("shape", [(1, 1), (3, 1, 1), (2, 3, 1, 1), (2, 1, 1, 1)])
def test_a_reference_may_be_one_of_each_frame(shape):
    assert reference_signal(FRAMES, np.full(shape, 2.0)).shape == shape
    assert reference_signal(torch.from_numpy(FRAMES), torch.ones(shape)).shape == shape
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match=r"^reference must be"):
            reference_signal(FRAMES, np.full(shape, bad))


@pytest.mark.parametrize(
    "reference",
    [
        0,
        -1,
        np.nan,
        1e19,
        "median",
        None,
        [[1.0]],
        np.ones(3),
        np.ones((4, 1)),
        np.ones((4, 5)),
        np.ones((5, 1, 1)),
        torch.ones(1, 1),
    ],
)
def test_other_references_are_an_error(reference):
    with pytest.raises(ValueError, match=r"^reference must be 'mean', or a finite signal above 0"):
        reference_signal(FRAMES, reference)
