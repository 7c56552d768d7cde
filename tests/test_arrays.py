import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

from stemkit import _arrays

# Without fixed seeds, a test would fail once in a million runs.
LEVEL = 1e-6


def both(shape=(2, 3, 4)):
    return [
        (np.ones(shape, "float32"), np.random.default_rng(0)),
        (torch.ones(shape), torch.Generator().manual_seed(0)),
    ]


def test_importing_noise_does_not_import_torch():
    code = "import sys, stemkit.noise; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int64", "float16", "float64"])
def test_frames_become_float32_of_the_same_library(dtype):
    values = np.array([[[0, 1]]]).astype(dtype)
    for frames in (values, torch.from_numpy(values)):
        converted = _arrays.as_frames(frames)
        assert type(converted) is type(frames)
        assert "float32" in str(converted.dtype)
        np.testing.assert_array_equal(converted, values)
    assert type(_arrays.as_frames([[1, 2]])) is np.ndarray


def test_float32_is_not_copied():
    array, tensor = np.ones((2, 3), "float32"), torch.ones(2, 3)
    assert _arrays.as_frames(array) is array
    assert _arrays.as_frames(tensor) is tensor


@pytest.mark.parametrize(
    "bad", [np.ones((2, 2), complex), torch.ones(2, 2, dtype=torch.complex64), [["a"]]]
)
def test_wrong_dtypes_are_named(bad):
    with pytest.raises(ValueError, match="clean must be real numbers"):
        _arrays.as_frames(bad, name="clean")


@pytest.mark.parametrize("bad", [1.0, np.ones(3), torch.ones(3)])
def test_wrong_shapes_are_named(bad):
    with pytest.raises(ValueError, match=r"frames must have shape \(\.\.\., H, W\)"):
        _arrays.as_frames(bad)


@pytest.mark.parametrize("frames, generator", both())
def test_generator_is_the_callers_or_a_fresh_one(frames, generator):
    assert _arrays.check_draws(frames, generator) is generator
    first, second = (_arrays.normal(frames, (9,), None) for _ in range(2))
    assert not np.array_equal(first, second)


def test_generators_of_another_library_are_named():
    (array, rng), (tensor, torch_rng) = both()
    with pytest.raises(TypeError, match=r"numpy\.random\.Generator for arrays; got Generator"):
        _arrays.check_draws(array, torch_rng)
    with pytest.raises(TypeError, match=r"torch\.Generator on cpu.*got Generator.*manual_seed"):
        _arrays.check_draws(tensor, rng)
    with pytest.raises(TypeError, match="got int"):
        _arrays.check_draws(array, 0)
    with pytest.raises(TypeError, match=r"torch\.Generator on meta .* got cpu"):
        _arrays.check_draws(tensor.to("meta"), torch_rng)


@pytest.mark.parametrize("frames, generator", both())
def test_draws_repeat_and_leave_global_random_states_alone(frames, generator):
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    draws = [
        draw(*arguments)
        for draw, arguments in (
            (_arrays.normal, (frames, (5,), generator)),
            (_arrays.uniform, (frames, (5,), generator)),
            (_arrays.poisson, (frames, generator)),
        )
    ]
    _arrays.normal(frames, (5,), None)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)
    again = dict(zip([np.ndarray, torch.Tensor], [g for _, g in both()], strict=True))[type(frames)]
    np.testing.assert_array_equal(draws[0], _arrays.normal(frames, (5,), again))


@pytest.mark.parametrize("frames, generator", both())
def test_normal_and_uniform_have_their_laws(frames, generator):
    drawn = _arrays.normal(frames, (20_000,), generator)
    assert "float32" in str(drawn.dtype)
    assert stats.kstest(np.asarray(drawn), "norm").pvalue > LEVEL
    drawn = _arrays.uniform(frames, (20_000,), generator)
    assert "float32" in str(drawn.dtype)
    assert stats.kstest(np.asarray(drawn), "uniform").pvalue > LEVEL


@pytest.mark.parametrize("mean", [0.3, 4.0, 50.0])
@pytest.mark.parametrize("frames, generator", both((100, 200)))
def test_counts_are_poisson(frames, generator, mean):
    drawn = np.asarray(_arrays.poisson(frames * mean, generator)).ravel()
    assert drawn.dtype == np.float32
    values = np.arange(int(stats.poisson.ppf(1 - 1e-4, mean)) + 1)
    # Chi-square needs enough expected counts, so rare values are combined.
    expected = np.append(stats.poisson.pmf(values, mean), stats.poisson.sf(values[-1], mean))
    observed = np.bincount(np.minimum(drawn.astype(int), len(values)), minlength=len(values) + 1)
    common = expected * drawn.size > 10
    observed = np.append(observed[common], observed[~common].sum())
    expected = np.append(expected[common], expected[~common].sum()) * drawn.size
    assert stats.chisquare(observed, expected).pvalue > LEVEL


@pytest.mark.parametrize("mean", [0.0, 3e6, 1e9])
@pytest.mark.parametrize("frames, generator", both((100, 200)))
def test_counts_of_zero_and_of_very_large_means(frames, generator, mean):
    drawn = np.asarray(_arrays.poisson(frames * mean, generator), dtype=float).ravel()
    if mean == 0:
        np.testing.assert_array_equal(drawn, 0)
        return
    # Float32 rounds counts over 2**24; dithering removes the steps for the test.
    dither = np.random.default_rng(0).uniform(-0.5, 0.5, drawn.size) * np.spacing(np.float32(mean))
    assert stats.kstest((drawn + dither - mean) / np.sqrt(mean), "norm").pvalue > LEVEL


def test_arrays_are_made_alike_in_both_libraries():
    results = []
    for frames, generator in both():
        make = _arrays.maker_like(frames)
        values = make.full(4, 7)
        make.minimum_at(values, make.array([1, 1, 3]), make.array([5, 3, 9]))
        made = {
            "float": make.full(2, 0.5),
            "int": make.full(2, 3),
            "arange": make.arange(3),
            "lowered": values,
            "cut": make.int64(make.array([-1.5, 2.5])),
            "float32": make.float32(make.arange(2)),
            "where": make.flatnonzero(make.arange(4) > 1),
        }
        assert all(type(value) is type(frames) for value in made.values())
        results.append({name: np.asarray(value) for name, value in made.items()})
        assert sorted(make.permutation(5, generator).tolist()) == [0, 1, 2, 3, 4]
        assert set(make.integers(3, 200, generator).tolist()) == {0, 1, 2}
        assert isinstance(make.poisson(4.0, generator), int)
    for name, value in results[0].items():
        assert value.dtype == results[1][name].dtype
        np.testing.assert_array_equal(value, results[1][name])
    assert results[0]["lowered"].tolist() == [7, 3, 7, 7]


@pytest.mark.parametrize(
    "bad, message",
    [
        (np.array([[1.0, np.nan]]), "^frames contains NaN"),
        (np.array([[1.0, -np.inf]]), "^frames contains inf"),
        (np.array([[1e300, 0.0]]), "^frames contains inf or values beyond float32"),
        (torch.tensor([[1.0, torch.nan]]), "^frames contains NaN"),
        (torch.ones(2, 2).to("meta"), "^frames is on the device meta"),
        (torch.eye(2).to_sparse(), "^frames is a sparse or quantized tensor"),
        (np.ones((0, 2, 2)), r"^frames has shape \(0, 2, 2\) and so no pixel"),
        ([[1.0], [1.0, 2.0]], "^frames holds frames of different shapes"),
        (np.ma.masked_equal([[1.0, 2.0]], 2.0), "^frames has masked pixels"),
    ],
)
def test_frames_without_finite_values_are_named(bad, message):
    with pytest.raises(ValueError, match=message):
        _arrays.as_frames(bad)


def test_any_layout_of_real_numbers_is_taken():
    values = np.arange(6.0).reshape(2, 3)
    read_only = values.astype("float32")
    read_only.flags.writeable = False
    for frames in (values.astype(">f4"), values[:, ::-1][:, ::-1], np.asfortranarray(values)):
        np.testing.assert_array_equal(_arrays.as_frames(frames), values)
    assert _arrays.as_frames(read_only) is read_only
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        assert _arrays.as_frames(torch.from_numpy(values).to(dtype)).dtype == torch.float32
    assert _arrays.as_frames(torch.ones(2, 2, requires_grad=True)).requires_grad
