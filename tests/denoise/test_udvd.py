import pickle

import numpy as np
import pytest
from sklearn.base import clone

from stemkit._validation import without_repair
from stemkit.denoise import UDVDDenoiser

TINY = {"n_channels": 4, "device": "cpu", "random_state": 0}


def film(n=8, shape=(32, 32), noise=20.0, seed=0):
    """Make a lattice that hardly moves, and its noisy frames."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    drift = 0.1 * np.arange(n)[:, None, None]
    clean = 100 + 20 * np.cos(0.8 * (y + drift)) * np.cos(0.8 * x)
    return clean + rng.normal(0, noise, clean.shape), clean


@pytest.fixture(scope="module")
def model():
    return UDVDDenoiser(max_epochs=1, **TINY).fit(film()[0])


def test_learns_without_truth():
    noisy, clean = film(16, (24, 24))
    model = UDVDDenoiser(max_epochs=25, batch_size=4, lr=8e-3, **TINY).fit(noisy)
    error = np.square(model.transform(noisy) - clean).mean()
    assert error < 0.1 * np.square(noisy - clean).mean()
    # The loss can't fall below the variance of the noise.
    left = model.history_["train_loss"].iloc[-1] * model.target_scaling_[1] ** 2
    assert left > 0.9 * 20**2


def test_a_frame_is_denoised_with_two_before_and_two_after(model):
    noisy, _ = film(shape=(12, 12))
    whole = model.transform(noisy)
    assert whole.dtype == np.float32
    for changed in range(len(noisy)):
        other = noisy.copy()
        other[changed] += 50
        differs = (model.transform(other) != whole).any((1, 2))
        np.testing.assert_array_equal(differs, np.abs(np.arange(len(noisy)) - changed) <= 2)


def test_no_pixel_influences_its_own_value(model):
    noisy, _ = film()
    other = noisy.copy()
    other[2:7, 10, 20] += 1e5
    with without_repair():
        difference = model.transform(other) - model.transform(noisy)
    assert difference[4, 10, 20] == 0
    assert (difference[4, 9:12, 19:22] != 0).sum() == 8


@pytest.mark.parametrize("shape", [(1, 9, 7), (2, 3, 30), (3, 1, 1)])
def test_series_of_any_size(model, shape):
    X = np.random.default_rng(0).normal(100, 20, shape)
    assert model.transform(X).shape == shape
    assert np.isfinite(model.transform(X)).all()


def test_large_frames_are_denoised_in_tiles():
    noisy, _ = film(2, (70, 45))
    model = UDVDDenoiser(max_epochs=1, tile_size=40, **TINY).fit(noisy)
    tiled = model.transform(noisy)
    whole = model.set_params(tile_size=256).transform(noisy)
    assert np.abs(tiled - whole).mean() < 0.05 * noisy.std()


def test_constant_frames(model):
    X = np.full((3, 8, 8), 1e6)
    again = clone(model).fit(X)
    np.testing.assert_allclose(again.transform(X), X, rtol=1e-3)


def test_true_frames_are_not_used_in_fit(model):
    noisy, clean = film()
    again = clone(model).fit(noisy, clean)
    np.testing.assert_array_equal(again.transform(noisy), model.transform(noisy))
    assert again.score(noisy, clean) == pytest.approx(model.score(noisy, clean))
    with pytest.raises(ValueError, match="y is missing"):
        model.score(noisy)


def test_fit_resumes_and_copies_give_the_same_result(model, tmp_path):
    noisy, _ = film(4, (16, 16))
    whole = UDVDDenoiser(max_epochs=2, **TINY).fit(noisy)
    for _ in range(2):
        kept = UDVDDenoiser(max_epochs=2, checkpoint_dir=tmp_path, **TINY).fit(noisy)
        np.testing.assert_array_equal(kept.transform(noisy), whole.transform(noisy))
    assert list(kept.history_["step"]) == [1, 2]
    assert clone(model).fit(noisy).partial_fit(noisy).n_epochs_ == 2
    copied = pickle.loads(pickle.dumps(kept))
    np.testing.assert_array_equal(copied.transform(noisy), whole.transform(noisy))
    kept.save_weights(tmp_path / "w.safetensors")
    loaded = UDVDDenoiser(weights=tmp_path / "w.safetensors", device="cpu")
    np.testing.assert_array_equal(loaded.transform(noisy), whole.transform(noisy))


def test_a_single_pixel_is_an_error():
    with pytest.raises(ValueError, match=r"X\[np.newaxis\]|single pixel"):
        UDVDDenoiser(**TINY).fit(np.ones((1, 1, 1)))
