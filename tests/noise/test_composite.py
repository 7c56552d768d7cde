import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from stemkit.noise import (
    CompositeDegradationNoise,
    GaussianNoise,
    SpeckleNoise,
    StaticNoise,
    _composite,
    functional,
)

SIMULATORS = [
    GaussianNoise(random_state=0),
    StaticNoise(random_state=0),
    SpeckleNoise(random_state=0),
    CompositeDegradationNoise(random_state=0),
    CompositeDegradationNoise(level=[1, 5], random_state=0),
]
SHAPE = (1, 700, 900)
# The paper's table, level by level.
TABLE = [(50, 0.5, 0.2), (60, 0.6, 0.3), (70, 0.7, 0.4), (80, 0.8, 0.5), (100, 0.9, 0.6)]
# Standard errors that are exceeded in one of a million runs with other seeds.
RARE = 4.9


def moments(values):
    """Return mean and variance, each with its standard error."""
    values = values.astype(float).ravel()
    centred = values - values.mean()
    variance = (centred**2).mean()
    fourth = (centred**4).mean()
    errors = np.sqrt([variance, fourth - variance**2]) / np.sqrt(len(values))
    return np.array([values.mean(), variance]), errors


def drawn(noise, signal, kind):
    """Return the noise of a flat frame, an array or a tensor."""
    flat = np.full(SHAPE, signal, dtype=np.float32)
    noise = clone(noise).fit(flat)
    if kind == "array":
        return noise.transform(flat)
    generator = torch.Generator().manual_seed(1)
    return noise.degrade(torch.from_numpy(flat), generator=generator).numpy()


def mean_square(signal, sigma, share):
    return (1 - share) * (signal**2 + sigma**2) + share * 255**2 / 3


@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize("signal", [0.0, 30.0, 255.0])
def test_mean_and_variance_of_each_stage(kind, signal):
    mean_static = 0.7 * signal + 0.3 * 127.5
    expected = {
        GaussianNoise(sigma=20.0): (signal, 400.0),
        StaticNoise(share=0.3): (mean_static, mean_square(signal, 0, 0.3) - mean_static**2),
        SpeckleNoise(variance=0.4): (signal, 0.4 * signal**2),
    }
    for noise, truth in expected.items():
        found, errors = moments(drawn(noise.set_params(random_state=3), signal, kind))
        assert (np.abs(found - truth) <= RARE * errors + 1e-9 * (1 + signal**2)).all(), noise


def test_levels_are_those_of_the_paper():
    assert dict(enumerate(TABLE, start=1)) == CompositeDegradationNoise.LEVELS
    with pytest.raises(TypeError):
        CompositeDegradationNoise.LEVELS[1] = TABLE[4]


@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize("speckle", ["variance", "std"])
@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_mean_and_variance_of_each_level(kind, speckle, level):
    sigma, share, printed = TABLE[level - 1]
    variance = printed if speckle == "variance" else printed**2
    noise = CompositeDegradationNoise(level=level, speckle=speckle, random_state=5)
    for signal in (20.0, 200.0):
        mean = (1 - share) * signal + share * 127.5
        truth = mean, (1 + variance) * mean_square(signal, sigma, share) - mean**2
        found, errors = moments(drawn(noise, signal, kind))
        assert (np.abs(found - truth) <= RARE * errors).all()


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_laws_of_the_parts(kind):
    gaussian = drawn(GaussianNoise(sigma=7.0, random_state=0), 40.0, kind).ravel()
    assert stats.kstest((gaussian - 40) / 7, "norm").pvalue > 1e-6
    static = drawn(StaticNoise(share=0.6, random_state=0), -1000.0, kind).ravel()
    replaced = static[static != -1000]
    n = len(static)
    assert len(replaced) / n == pytest.approx(0.6, abs=RARE * np.sqrt(0.24 / n))
    assert stats.kstest(replaced / 255, "uniform").pvalue > 1e-6
    speckle = drawn(SpeckleNoise(variance=0.36, random_state=0), 10.0, kind).ravel()
    assert stats.kstest((speckle / 10 - 1) / 0.6, "norm").pvalue > 1e-6


def test_pixels_are_independent():
    noise = CompositeDegradationNoise(level=2, random_state=0)
    frame = drawn(noise, 80.0, "array")[0].astype(float)
    frame -= frame.mean()
    for a, b in ((frame[1:], frame[:-1]), (frame[:, 1:], frame[:, :-1])):
        correlation = (a * b).mean() / frame.var()
        assert abs(correlation) < RARE / np.sqrt(frame.size)


def test_stages_come_in_the_papers_order():
    # Pixels are replaced after the Gaussian noise, and speckle multiplies both: in a dark frame
    # replaced pixels are never negative, and half of the others are.
    flat = np.zeros((400, 400))
    noisy = functional.composite_noise(flat, 1e-3, 0.5, 0.0, generator=np.random.default_rng(0))
    negative = (noisy < 0).mean()
    assert negative == pytest.approx(0.25, abs=RARE * np.sqrt(0.19 / flat.size))
    assert noisy.min() > -0.01
    # The composite noise equals its stages in sequence.
    rng = np.random.default_rng(7)
    signal = rng.uniform(0, 255, (50, 60)).astype(np.float32)
    one = functional.composite_noise(signal, 50, 0.5, 0.2, generator=np.random.default_rng(1))
    rng = np.random.default_rng(1)
    other = functional.gaussian_noise(signal, 50, generator=rng)
    other = functional.static_noise(other, 0.5, generator=rng)
    other = functional.speckle_noise(other, 0.2, generator=rng)
    np.testing.assert_array_equal(one, other)


def test_strength_zero_leaves_frames_as_they_are():
    frames = np.random.default_rng(0).uniform(0, 255, (2, 20, 30)).astype(np.float32)
    for noise in (GaussianNoise(sigma=0), StaticNoise(share=0), SpeckleNoise(variance=0)):
        np.testing.assert_array_equal(noise.fit_transform(frames), frames)
    everything = StaticNoise(share=1, random_state=0).fit_transform(frames)
    assert not np.isclose(everything, frames).mean() > 0.01


def test_each_frame_draws_one_of_several_levels():
    flat = np.full((400, 24, 24), 127.5, dtype=np.float32)
    batch = torch.from_numpy(flat)[:, None]
    noise = CompositeDegradationNoise(level=(1, 5), random_state=0)
    made = noise.fit_transform(flat)
    on_device = noise.degrade(batch, generator=torch.Generator().manual_seed(0))
    assert on_device.shape == batch.shape
    for noisy in (made, on_device.numpy()[:, 0]):
        assert noisy.dtype == np.float32
        spread = noisy.reshape(400, -1).std(axis=1)
        middle = (spread.min() + spread.max()) / 2
        weak, strong = spread[spread < middle], spread[spread > middle]
        for found, (sigma, share, variance) in ((weak, TABLE[0]), (strong, TABLE[4])):
            truth = (1 + variance) * mean_square(127.5, sigma, share) - 127.5**2
            assert (found**2).mean() == pytest.approx(truth, rel=0.03)
        assert len(strong) == pytest.approx(200, abs=RARE * 10)


@pytest.mark.parametrize("levels", [(1, 5), (1, 2, 3, 5), (1, 2, 3, 4, 5), (1, 1, 1, 5)])
@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_evenly_spaced_numbers_draw_each_level_equally_often(monkeypatch, levels, kind):
    used = []
    numbers = np.arange(8 * len(levels), dtype=np.float32) / np.float32(8 * len(levels))
    numbers = numbers.reshape(-1, 1, 1)
    drawn = numbers if kind == "array" else torch.from_numpy(numbers)

    def record(frames, sigma, share, variance, *, generator):
        used.append(np.asarray(sigma).ravel())
        return frames

    monkeypatch.setattr(_composite, "uniform", lambda *_: drawn)
    monkeypatch.setattr(functional, "composite_noise", record)
    frames = np.ones((len(numbers), 4, 4), np.float32)
    noise = CompositeDegradationNoise(level=levels, random_state=0).fit(frames)
    if kind == "array":
        noise._degrade(frames, np.random.default_rng(0))
    else:
        noise.degrade(torch.from_numpy(frames), generator=torch.Generator())
    expected = np.repeat([TABLE[level - 1][0] for level in levels], 8)
    np.testing.assert_array_equal(used[0], expected)


def test_clip_is_off_by_default():
    flat = np.full((1, 100, 100), 200.0)
    free = CompositeDegradationNoise(level=5, random_state=0).fit_transform(flat)
    assert free.min() < 0
    assert free.max() > 255
    clipped = CompositeDegradationNoise(level=5, clip=(0, 255), random_state=0).fit_transform(flat)
    np.testing.assert_array_equal(clipped, free.clip(0, 255))
    tensor = torch.from_numpy(flat)
    noise = CompositeDegradationNoise(level=5, clip=(0, 255)).fit(flat)
    noisy = noise.degrade(tensor, generator=torch.Generator().manual_seed(0))
    assert noisy.min() == 0
    assert noisy.max() == 255


@pytest.mark.parametrize("noise", SIMULATORS)
def test_noise_is_a_function_of_seed_and_frame(noise):
    frames = np.random.default_rng(1).uniform(0, 255, (4, 16, 18)).astype(np.float32)
    noisy = clone(noise).fit_transform(frames)
    np.testing.assert_array_equal(clone(noise).fit(frames).transform(frames[::-1])[::-1], noisy)
    again = pickle.loads(pickle.dumps(clone(noise).fit(frames)))
    np.testing.assert_array_equal(again.transform(frames[2:]), noisy[2:])
    other = clone(noise).set_params(random_state=1).fit_transform(frames)
    assert not np.array_equal(other, noisy)
    assert noisy.dtype == np.float32


def test_it_works_in_a_pipeline_and_leaves_global_random_state_alone():
    frames = np.random.default_rng(1).uniform(0, 255, (2, 8, 9))
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    make_pipeline(GaussianNoise(), StaticNoise(), SpeckleNoise()).fit_transform(frames)
    CompositeDegradationNoise().fit(frames).degrade(torch.from_numpy(frames))
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


def test_whole_numbers_keep_their_scale():
    frames = np.full((1, 64, 64), 200, dtype=np.uint8)
    noisy = GaussianNoise(sigma=2.0, random_state=0).fit_transform(frames)
    assert noisy.dtype == np.float32
    assert noisy.mean() == pytest.approx(200, abs=0.2)


@pytest.mark.parametrize(
    "noise, words",
    [
        (GaussianNoise(sigma=-1), r"^sigma must be a finite number in \[0,"),
        (GaussianNoise(sigma=np.nan), r"^sigma must be a finite number in \[0,"),
        (GaussianNoise(sigma="strong"), r"^sigma must be a finite number in \[0,"),
        (StaticNoise(share=1.1), r"^share must be a finite number in \[0, 1\]"),
        (StaticNoise(share=-0.1), r"^share must be a finite number in \[0, 1\]"),
        (StaticNoise(low=5, high=5), "^low must be below high"),
        (SpeckleNoise(variance=-0.2), r"^variance must be a finite number in \[0,"),
        (SpeckleNoise(variance=np.inf), r"^variance must be .*got inf"),
        (CompositeDegradationNoise(level=0), r"^level must be an int in \[1, 5\]"),
        (CompositeDegradationNoise(level=6), r"^level must be an int in \[1, 5\]"),
        (CompositeDegradationNoise(level=1.5), r"^level must be an int in \[1, 5\]"),
        (CompositeDegradationNoise(level=[1, 6]), r"^level must .*got \[1, 6\]"),
        (CompositeDegradationNoise(level=[]), r"^level must be an int in \[1, 5\]"),
        (CompositeDegradationNoise(speckle="sigma"), "^speckle must be one of"),
        (CompositeDegradationNoise(clip=(255, 0)), "^clip must be"),
        (CompositeDegradationNoise(clip=(0, 1, 2)), "^clip must be"),
        (CompositeDegradationNoise(clip=("0", "1")), "^clip must be"),
        (CompositeDegradationNoise(clip=255), "^clip must be"),
    ],
)
def test_bad_parameters_are_named(noise, words):
    with pytest.raises(ValueError, match=words):
        noise.fit(np.ones((1, 4, 4)))


@pytest.mark.parametrize("low, high", [(10, 20), (-5.0, -1.0), (0.0, 255.0)])
def test_replaced_pixels_are_even_between_low_and_high(low, high):
    clean = np.full((1, 200, 200), 1000.0)
    noise = StaticNoise(share=0.5, low=low, high=high, random_state=0)
    noisy = noise.fit_transform(clean)
    replaced = noisy[noisy != 1000]
    assert replaced.size == pytest.approx(20_000, rel=0.05)
    assert low <= replaced.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < replaced.max() <= high
    assert replaced.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
