import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from stemkit.datasets import NucleationStream
from stemkit.noise import HRTEMNoise

from .tiny import random_pairs, same_weights, scgn


def test_learns_to_denoise():
    """Frames of a lattice at random positions, all of the same mean."""
    y, x = np.mgrid[:32, :32]
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (2, 64, 1, 1))
    target = 100 + 20 * np.cos(0.8 * y + phase[0]) * np.cos(0.8 * x + phase[1])
    noisy = target + rng.normal(0, 20, target.shape)
    model = scgn(max_epochs=15, lr=5e-3, n_channels=8).fit(noisy[:48], target[:48])
    assert model.score(noisy[48:], target[48:]) > 5 + 20 * np.log10(80 / 20)
    assert model.history_["train_loss"].iloc[-1] < 0.6 * model.history_["train_loss"].iloc[0]
    assert model.n_epochs_ == len(model.history_) == 15


def test_frames_do_not_depend_on_their_neighbours(fitted):
    X, _ = random_pairs(5)
    whole = fitted.transform(X)
    assert whole.dtype == np.float32
    for index in range(5):
        np.testing.assert_array_equal(fitted.transform(X[[index]])[0], whole[index])
    np.testing.assert_array_equal(fitted.predict(X[::-1]), whole[::-1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2), (17, 30)])
def test_frames_of_any_size(fitted, shape):
    X, _ = random_pairs(2, shape)
    denoised = fitted.transform(X)
    assert denoised.shape == X.shape
    assert np.isfinite(denoised).all()


@pytest.mark.parametrize("value", [0, 7, 1e6])
def test_constant_frames(fitted, value):
    X = np.full((2, 16, 16), value)
    assert np.isfinite(fitted.transform(X)).all()
    again = clone(fitted).fit(X, X)
    np.testing.assert_allclose(again.transform(X), X, atol=1.0, rtol=0.01)


def test_unit_of_intensity_does_not_matter():
    X, y = random_pairs()
    counts = scgn().fit(1e4 * X + 1e6, 3 * y).transform(1e4 * X + 1e6)
    plain = scgn().fit(X, y).transform(X)
    np.testing.assert_allclose(counts, 3 * plain, atol=0.02 * plain.std())


def test_weights_depend_on_the_seed_alone_and_the_global_random_state_is_kept():
    np.random.seed(3)
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    pairs = random_pairs()
    one, two, other = (scgn(random_state=seed).fit(*pairs) for seed in (0, 0, 1))
    assert same_weights(one, two)
    assert not same_weights(one, other)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("n_views", [4, 8])
def test_results_of_views_are_averaged_in_the_frames_orientation(model, n_views):
    """The result is the mean over the views; that of a flipped frame is flipped."""
    X, _ = random_pairs(2, (17, 30))
    averaged = pickle.loads(pickle.dumps(model)).set_params(n_views=n_views)
    found = averaged.transform(X)
    flips = [(), (1,), (2,), (1, 2)]
    each = [np.flip(model.transform(np.flip(X, axes)), axes) for axes in flips]
    if n_views == 8:
        turned = X.swapaxes(1, 2)
        each += [
            np.flip(model.transform(np.flip(turned, axes)), axes).swapaxes(1, 2) for axes in flips
        ]
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-6)
    for axes in flips:
        again = np.flip(averaged.transform(np.flip(X, axes)), axes)
        np.testing.assert_allclose(again, found, rtol=1e-5)
    with pytest.raises(ValueError, match="n_views must be one of 1, 4 and 8"):
        averaged.set_params(n_views=3).transform(X)


def test_copies_give_the_same_result(fitted):
    X, _ = random_pairs()
    data = pickle.dumps(fitted)
    assert b"torch" not in data
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    assert not hasattr(clone(fitted), "module_")


def test_clean_frames_get_fresh_noise():
    drawn = []

    class Recorded(HRTEMNoise):
        def _degrade(self, frames, generator):
            noisy = super()._degrade(frames, generator)
            drawn.append(np.asarray(noisy - frames))
            return noisy

    _, clean = random_pairs(4)
    model = scgn(noise=Recorded(), max_epochs=3, batch_size=4, flip=False).fit(clean)
    noise = np.stack([batch.ravel() for batch in drawn[-3:]])
    assert np.abs(np.corrcoef(noise) - np.eye(3)).max() < 0.15
    again = scgn(noise=Recorded(), max_epochs=3, batch_size=4, flip=False).fit(clean)
    assert same_weights(model, again)
    assert model.score(clean) == pytest.approx(model.score(clean, clean), abs=1.0)
    # A given target is used instead of the clean frames.
    assert scgn(noise=HRTEMNoise()).fit(clean, 0 * clean + 5).transform(clean).mean() < 50


def test_calibrated_noise_is_not_fitted_again():
    _, clean = random_pairs(2)
    fitted = HRTEMNoise(gain=0.5).fit(clean).set_params(gain=0.0)
    model = scgn(noise=FrozenEstimator(fitted), max_epochs=1)
    assert clone(model).noise.gain_ == 0.5
    assert np.isfinite(clone(model).fit(clean).transform(clean)).all()


def test_stream_of_fresh_frames():
    stream = NucleationStream(2, (32, 32))
    models = [scgn(steps_per_epoch=3, max_epochs=2).fit(stream) for _ in range(2)]
    assert same_weights(*models)
    assert list(models[0].history_["step"]) == [3, 6]
    assert same_weights(scgn(steps_per_epoch=3, max_epochs=2).fit(stream.make_batch), models[0])
    assert models[0].transform(np.zeros((1, 20, 30))).shape == (1, 20, 30)
    with pytest.raises(ValueError, match=r"not \(noisy, target\) of shape \(n, H, W\)"):
        scgn().fit(lambda generator: (generator.random((2, 8, 8)),))


def test_pipeline_and_search():
    _, clean = random_pairs(6, (12, 12))
    pipe = make_pipeline(HRTEMNoise(random_state=0), scgn())
    search = GridSearchCV(pipe, {"hrtemnoise__gain": [0.01, 0.5]}, cv=2).fit(clean, clean)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_[1:].transform(clean).shape == clean.shape


PAIR = random_pairs(2, (8, 8))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: m.fit(PAIR[0]), "y is missing, and so is noise"),
        (lambda m: m.fit(PAIR[0], PAIR[1][:1]), r"y has shape \(1, 8, 8\), but X is \(2, 8, 8\)"),
        (lambda m: m.fit(PAIR[0], PAIR[1] * np.nan), "y contains NaN in frame 0"),
        (lambda m: m.fit(np.ones((1, 1, 1)), np.ones((1, 1, 1))), "X is a single pixel"),
        (
            lambda m: m.set_params(noise=3).fit(PAIR[0]),
            "noise must be None, an object with degrade",
        ),
        (lambda m: m.set_params(loss="l3").fit(*PAIR), 'loss must be one of "l1" and "l2"'),
        (lambda m: m.set_params(max_epochs=0).fit(*PAIR), "max_epochs must be an int"),
        (lambda m: m.set_params(tile_size=2.5).fit(*PAIR), "tile_size must be an int"),
        (lambda m: m.set_params(lr=0).fit(*PAIR), "lr must be a finite number above 0"),
        (lambda m: m.set_params(n_views=2).fit(*PAIR), "n_views must be one of"),
        (lambda m: m.set_params(n_channels=3).fit(*PAIR), "n_channels must be even"),
        (lambda m: m.fit(*PAIR).transform(PAIR[0][0]), r"X\[np.newaxis\]"),
        (lambda m: m.fit(*PAIR).score(PAIR[0]), "y is missing"),
        (lambda m: m.set_params(weights="nowhere").transform(PAIR[0]), "no weights 'nowhere'"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        call(scgn())


def test_not_fitted():
    with pytest.raises(NotFittedError):
        scgn().transform(PAIR[0])
