import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from stemkit import _arrays
from stemkit.noise import (
    Afterglow,
    Flyback,
    GaussianNoise,
    HRTEMNoise,
    LineGain,
    PoissonGaussianNoise,
    RowJitter,
    Saturation,
    ShotNoise,
    SlowBackground,
    SpeckleNoise,
    StaticNoise,
    STEMNoise,
)
from stemkit.noise._base import FrameNoise, fitted_noise


class Grain(FrameNoise):
    """The smallest simulator."""

    def __init__(self, *, sigma=1.0, random_state=None):
        self.sigma = sigma
        self.random_state = random_state

    def _check_parameters(self):
        if self.sigma < 0:
            raise ValueError("sigma must not be negative")

    def _degrade(self, frames, generator):
        return frames + self.sigma * _arrays.normal(frames, tuple(frames.shape), generator)


def noise_of(X, **parameters):
    return Grain(**parameters).fit(X).transform(X) - X


@given(order=st.permutations(range(6)), size=st.integers(1, 6), seed=st.integers(0, 2**40))
def test_noise_of_a_frame_depends_on_no_other(order, size, seed):
    X = np.random.default_rng(0).random((6, 3, 4), dtype="float32")
    model = Grain(random_state=seed).fit(X)
    noisy = model.transform(X)
    some = order[:size]
    np.testing.assert_array_equal(model.transform(X[some]), noisy[some])
    np.testing.assert_array_equal(Grain(random_state=seed).fit(X[some]).transform(X), noisy)


def test_equal_frames_have_noise_of_their_own():
    X = np.ones((40, 16, 16), "float32")
    noise = noise_of(X, random_state=0)
    correlation = np.corrcoef(noise.reshape(len(X), -1)) - np.eye(len(X))
    assert np.abs(correlation).max() < 0.35  # 5.6 sigma of 256 px
    np.testing.assert_array_equal(noise_of(X[:7], random_state=0), noise[:7])


def test_folds_do_not_share_noise():
    X = np.random.default_rng(0).random((2, 64, 64), dtype="float32")
    train, test = (noise_of(X[[k]], random_state=0) for k in range(2))
    assert abs(np.corrcoef(train.ravel(), test.ravel())[0, 1]) < 0.1


def test_an_int_seed_repeats_and_none_draws_afresh():
    X = np.ones((2, 8, 8), "float32")
    np.testing.assert_array_equal(noise_of(X, random_state=1), noise_of(X, random_state=1))
    assert not np.array_equal(noise_of(X, random_state=1), noise_of(X, random_state=2))
    assert not np.array_equal(noise_of(X), noise_of(X))
    rng = np.random.default_rng(0)
    assert not np.array_equal(noise_of(X, random_state=rng), noise_of(X, random_state=rng))


def test_noise_does_not_depend_on_dtype_or_layout():
    X = np.arange(48).reshape(2, 4, 6) % 7
    reference = noise_of(X.astype("float32"), random_state=0)
    for frames in (X.astype("uint8"), X.astype("uint16"), X.astype("float64"), X.tolist()):
        np.testing.assert_array_equal(Grain(random_state=0).fit_transform(frames) - X, reference)
    np.testing.assert_array_equal(noise_of(np.asfortranarray(X), random_state=0), reference)


def test_lines_are_frames_of_one_line():
    X = np.random.default_rng(0).random((5, 7), dtype="float32")
    lines = Grain(random_state=0).fit_transform(X)
    frames = Grain(random_state=0).fit_transform(X[:, np.newaxis])
    assert lines.shape == (5, 7)
    np.testing.assert_array_equal(frames[:, 0], lines)


def test_frames_may_have_another_size_but_not_be_single():
    model = Grain(random_state=0).fit(np.ones((2, 8, 8)))
    assert model.transform(np.ones((3, 5, 4))).shape == (3, 5, 4)
    with pytest.raises(ValueError, match=r"pass X\[np.newaxis\]"):
        model.transform(np.ones((8, 8)))
    with pytest.raises(ValueError, match="3 features, but Grain is expecting 8"):
        Grain().fit(np.ones((2, 8))).transform(np.ones((2, 3)))


@pytest.mark.parametrize(
    "X", [np.ones(3), np.ones((2, 2, 2, 2)), [np.ones((2, 2)), np.ones((3, 2))]]
)
def test_wrong_shapes_are_named(X):
    with pytest.raises(
        ValueError, match=r"^X has .* dimension|^X holds frames of different shapes"
    ):
        Grain().fit(X)


def test_parameters_are_checked_when_fitted():
    model = Grain(sigma=-1)
    with pytest.raises(ValueError, match="sigma"):
        model.fit(np.ones((1, 2, 2)))
    assert not hasattr(model, "frame_shape_")


def test_input_is_not_written():
    X = np.ones((2, 4, 4), "float32")
    X.flags.writeable = False
    Grain().fit_transform(X)


def test_batches_are_degraded_in_either_library():
    model = Grain(sigma=0.5).fit(np.ones((1, 2, 2)))
    clean = np.ones((2, 3, 4, 5), "float32")
    for frames, new in (
        (clean, lambda: np.random.default_rng(3)),
        (torch.from_numpy(clean), lambda: torch.Generator().manual_seed(3)),
    ):
        noisy = model.degrade(frames, generator=new())
        assert type(noisy) is type(frames)
        assert noisy.shape == frames.shape
        np.testing.assert_array_equal(noisy, model.degrade(frames, generator=new()))
        assert not np.array_equal(noisy, model.degrade(frames))


def test_copies_make_the_same_noise():
    X = np.ones((2, 4, 4), "float32")
    model = Grain(sigma=2, random_state=4).fit(X)
    for again in (pickle.loads(pickle.dumps(model)), clone(model).fit(X)):
        np.testing.assert_array_equal(again.transform(X), model.transform(X))


def test_results_beyond_float32_are_an_error():
    X = np.full((1, 4, 4), 3e38, "float32")

    class Doubling(Grain):
        def _degrade(self, frames, generator):
            return frames + frames

    model = Doubling().fit(X)
    for call in (model.transform, model.degrade):
        with np.errstate(over="ignore"), pytest.raises(ValueError, match=r"^X gives values beyond"):
            call(X)


def test_fitted_noise_leaves_what_it_is_given():
    noise = PoissonGaussianNoise(gain=2.0, pedestal=50.0)
    ready = fitted_noise(noise)
    assert (ready.gain_, hasattr(noise, "gain_")) == (2.0, False)
    assert fitted_noise(ready) is ready
    assert fitted_noise(HRTEMNoise(), np.ones((2, 3, 4))).frame_shape_ == (3, 4)
    for bad in (None, "HRTEMNoise", HRTEMNoise):
        with pytest.raises(ValueError, match=r"^noise must be one of"):
            fitted_noise(bad)
    with pytest.raises(ValueError, match=r"^gain must be"):
        fitted_noise(HRTEMNoise(gain=-1))


@pytest.mark.parametrize(
    "simulator, changed",
    [
        (Afterglow, {"share": 0.3, "decay": 3.0}),
        (Flyback, {"amplitude": 2.0, "decay": 3.0}),
        (GaussianNoise, {"sigma": 20.0}),
        (HRTEMNoise, {"gain": 0.1, "offset": 3.0, "column_sigma": 2.0}),
        (LineGain, {"sigma": 0.1}),
        (
            PoissonGaussianNoise,
            {"gain": 3.0, "read_sigma": 2.0, "pedestal": 5.0, "column_sigma": 2.0},
        ),
        (RowJitter, {"sigma": 2.0, "correlation": 20.0}),
        (Saturation, {"level": 0.6, "reference": 0.3}),
        (ShotNoise, {"dose": 7.0, "pixel_size": 0.03, "reference": 9.0}),
        (SlowBackground, {"level": 3.0, "contrast": 0.1, "length": 9.0, "reference": 9.0}),
        (SpeckleNoise, {"variance": 0.01}),
        (StaticNoise, {"share": 0.2, "low": 99.0, "high": 130.0}),
        (
            STEMNoise,
            {
                "dose": 7.0,
                "pixel_size": 0.03,
                "reference": 90.0,
                "row_jitter": 2.0,
                "row_correlation": 20.0,
                "flyback": 3.0,
                "flyback_decay": 2.0,
                "background": 2.0,
                "background_contrast": 0.1,
                "background_length": 9.0,
                "afterglow": 0.4,
                "afterglow_decay": 3.0,
                "line_gain": 0.1,
                "saturation": 0.6,
            },
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_parameter_changes_the_result(simulator, changed):
    clean = (100 + 50 * np.sin(np.indices((2, 24, 32)).sum(axis=0) / 3)).astype("f4")

    def degraded(**parameters):
        noise = simulator(**parameters).fit(clean)
        return noise.degrade(clean, generator=np.random.default_rng(0))

    assert set(changed) == set(simulator().get_params()) - {"random_state"}
    for name, value in changed.items():
        assert not np.array_equal(degraded(), degraded(**{name: value})), name
