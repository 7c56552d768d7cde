import os
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
from stemkit.denoise import IDFDenoiser, PINNEDDenoiser, SCGNDenoiser, SFINDenoiser, UNetDenoiser
from stemkit.denoise._batches import PairSource
from stemkit.noise import HRTEMNoise

from .random_pairs import random_pairs

TINY = {"n_channels": 4, "max_epochs": 1, "device": "cpu", "random_state": 0}
MODELS = {
    "scgn": SCGNDenoiser(n_blocks=1, **TINY),
    "sfin": SFINDenoiser(n_blocks=1, **TINY),
    "unet": UNetDenoiser(**TINY),
    "pinned": PINNEDDenoiser(n_blocks=1, **TINY),
    "idf": IDFDenoiser(n_iterations=2, **TINY),
}


def scgn(**parameters):
    return clone(MODELS["scgn"]).set_params(**parameters)


@pytest.fixture(scope="module", params=MODELS.values(), ids=MODELS)
def fitted(request):
    return clone(request.param).fit(*random_pairs())


@pytest.fixture(scope="module")
def model():
    return scgn().fit(*random_pairs())


def same_weights(one, other):
    states = [estimator.module_.state_dict() for estimator in (one, other)]
    return all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_learns_what_it_is_shown():
    """Atoms of a lattice, to which the mean of each frame says nothing."""
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


def test_seed_decides_and_global_randomness_is_left_alone():
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
def test_views_of_a_frame_are_turned_back(model, n_views):
    """A frame that is turned comes out turned, and is the mean of what its views give."""
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
    with pytest.raises(ValueError, match=r"n_views must be one of \(1, 4, 8\)"):
        averaged.set_params(n_views=3).transform(X)


def test_copies_give_the_same(fitted):
    X, _ = random_pairs()
    data = pickle.dumps(fitted)
    assert b"torch" not in data
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    assert not hasattr(clone(fitted), "module_")


def test_weights_of_a_file(fitted, tmp_path):
    X, y = random_pairs()
    path = tmp_path / "w.safetensors"
    fitted.save_weights(path, data="made up")
    # the network's own size is not asked for
    other = type(fitted)(weights=path, device="cpu")
    np.testing.assert_array_equal(other.transform(X), fitted.transform(X))
    tuned = type(fitted)(weights=path, device="cpu", max_epochs=1, lr=1e-9).fit(X, y)
    for one, ours in zip(tuned.module_.parameters(), fitted.module_.parameters(), strict=True):
        torch.testing.assert_close(one, ours, atol=1e-6, rtol=0)
    (tmp_path / "w.json").write_text("{}")
    with pytest.raises(ValueError, match=r"w\.safetensors are not a denoiser.* lacks"):
        type(fitted)(weights=path).transform(X)


def test_default_weights(fitted, tmp_path, monkeypatch):
    X, y = random_pairs()
    cls = type(fitted)
    monkeypatch.setattr(cls, "_default_weights", None)
    with pytest.raises(ValueError, match=f"ships no weights for {cls.__name__}"):
        cls(weights="default").transform(X)
    fitted.save_weights(tmp_path / "shipped.safetensors")
    monkeypatch.setattr(cls, "_default_weights", tmp_path / "shipped.safetensors")
    shipped = cls(weights="default", device="cpu")
    np.testing.assert_array_equal(shipped.transform(X), fitted.transform(X))
    # parameters that say what the weights say do no harm, others are not passed over
    same = cls(weights="default", n_channels=4, device="cpu", max_epochs=1, lr=1e-9).fit(X, y)
    assert same.network_parameters_ == fitted.network_parameters_
    other = cls(weights="default", n_channels=6, device="cpu")
    for call in (other.transform, lambda frames: other.fit(frames, y)):
        with pytest.raises(ValueError, match=r"n_channels=6 is not that of weights=.*shipped"):
            call(X)


def test_partial_fit_goes_on():
    X, y = random_pairs()
    model = scgn(max_epochs=2).fit(X, y)
    before = {key: value.clone() for key, value in model.module_.state_dict().items()}
    scaling = model.input_scaling_
    model.partial_fit(X + 50, y)
    assert model.n_epochs_ == len(model.history_) == 3
    assert model.input_scaling_ == scaling
    after = model.module_.state_dict()
    moved = [float((before[k] - after[k]).abs().max()) for k, _ in model.module_.named_parameters()]
    assert 0 < max(moved) < 0.1
    assert scgn().partial_fit(X, y).n_epochs_ == 1


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("per_epoch, n_epochs, last, kept", [(2, 3, 5, 4), (70, 1, 60, 50)])
def test_stopped_fit_loses_an_epoch_or_50_steps_at_most(per_epoch, n_epochs, last, kept, tmp_path):
    n_batches = 0

    def make_stream(most):
        nonlocal n_batches
        n_batches = 0

        def make_batch(generator):
            nonlocal n_batches
            n_batches += 1
            if n_batches > most:
                raise StoppedError
            return generator.normal(size=(2, 2, 8, 8)).astype(np.float32)

        return make_batch

    settings = {"steps_per_epoch": per_epoch, "max_epochs": n_epochs, "tile_size": 8}
    looked_at = 3  # batches before the first step: for their form, their scale, their checksum
    n_steps = per_epoch * n_epochs
    unbroken = scgn(**settings).fit(make_stream(n_steps + looked_at))
    with pytest.raises(StoppedError):
        scgn(**settings, checkpoint_dir=tmp_path).fit(make_stream(last + looked_at))
    again = scgn(**settings, checkpoint_dir=tmp_path).fit(make_stream(n_steps))
    assert n_batches == n_steps - kept + looked_at
    assert same_weights(again, unbroken)


def test_finished_fit_is_taken_up_as_it_is(tmp_path):
    X, y = random_pairs()
    whole = scgn(max_epochs=3).fit(X, y)
    first = scgn(max_epochs=3, checkpoint_dir=tmp_path).fit(X, y)
    again = scgn(max_epochs=3, checkpoint_dir=tmp_path).fit(X, y)
    assert same_weights(whole, first)
    assert same_weights(whole, again)
    with pytest.raises(ValueError, match="another fit"):
        scgn(max_epochs=4, checkpoint_dir=tmp_path).fit(X, y)
    with pytest.raises(ValueError, match=r"^checkpoint_dir needs a random_state"):
        scgn(max_epochs=3, checkpoint_dir=tmp_path, random_state=None).fit(X, y)


def test_clean_frames_get_fresh_noise():
    seen = []

    class Watched(HRTEMNoise):
        def _degrade(self, frames, generator):
            noisy = super()._degrade(frames, generator)
            seen.append(np.asarray(noisy - frames))
            return noisy

    _, clean = random_pairs(4)
    model = scgn(noise=Watched(), max_epochs=3, batch_size=4, flip=False).fit(clean)
    noise = np.stack([batch.ravel() for batch in seen[-3:]])
    assert np.abs(np.corrcoef(noise) - np.eye(3)).max() < 0.15
    again = scgn(noise=Watched(), max_epochs=3, batch_size=4, flip=False).fit(clean)
    assert same_weights(model, again)
    assert model.score(clean) == pytest.approx(model.score(clean, clean), abs=1.0)
    # with a target of its own, that is learned
    assert scgn(noise=HRTEMNoise()).fit(clean, 0 * clean + 5).transform(clean).mean() < 50


def test_calibrated_noise_is_used_as_it_is():
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


def make_source(side=16, **settings):
    y, x = np.mgrid[:16, :24].astype(np.float32)
    frames = np.stack([100 * n + y + x / 100 for n in range(5)])
    settings = {"batch_size": 2, "flip": True, "degrade": None, "random_state": 0} | settings
    return PairSource(frames, 2 * frames, side=side, device=torch.device("cpu"), **settings)


def test_each_frame_is_in_an_epoch_once():
    source = make_source(side=32)
    assert source.steps_per_epoch == 3
    epochs = [
        [
            int(frame.max()) // 100
            for step in range(start, start + 3)
            for frame in source.batch(step)[0]
        ]
        for start in (0, 3)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(5))
    assert epochs[0] != epochs[1]


def test_squares_and_flips_are_those_of_both_frames():
    source = make_source(side=8)
    assert source.n_samples == 5 * 2 * 3
    corners, places = set(), set()
    for step in range(40):
        inputs, targets = source.batch(step)
        assert inputs.shape[1:] == (8, 8)
        torch.testing.assert_close(targets, 2 * inputs)
        for frame in inputs:
            corners.add((bool(frame[0, 0] < frame[-1, 0]), bool(frame[0, 0] < frame[0, -1])))
            places.add(float(frame.min() % 100))
    assert len(corners) == 4
    assert len(places) > 40
    one, other = (make_source(side=8).batch(7)[0] for _ in range(2))
    assert torch.equal(one, other)


class Full(torch.nn.Module):
    """Has no room for more than so many frames."""

    most = 2

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.scale * x


class Cramped(UNetDenoiser):
    _network = Full
    _network_takes = ()


def test_batches_are_halved_where_memory_is_short(monkeypatch):
    X, y = random_pairs(8)
    with pytest.warns(RuntimeWarning, match="going on with batches of 2"):
        model = Cramped(batch_size=4, max_epochs=1, device="cpu", random_state=0).fit(X, y)
    roomy = Cramped(batch_size=2, max_epochs=1, device="cpu", random_state=0).fit(X, y)
    assert model.history_["step"].iloc[-1] == roomy.history_["step"].iloc[-1] == 4
    expected = roomy.transform(X)
    monkeypatch.setattr("stemkit.denoise._tiled._at_once", lambda device: 4)
    with pytest.warns(RuntimeWarning, match="going on with batches of 2"):
        np.testing.assert_array_equal(roomy.transform(X), expected)
    monkeypatch.setattr("stemkit.denoise._tiled._at_once", lambda device: 2)
    monkeypatch.setattr(Full, "most", 0)
    with (
        pytest.raises(MemoryError, match="use a smaller tile_size"),
        pytest.warns(RuntimeWarning, match="batches of 1"),
    ):
        roomy.transform(X)


def test_streams_are_halved_where_memory_is_short():
    stream = NucleationStream(4, (16, 16))
    cramped = Cramped(steps_per_epoch=2, batch_size=4, max_epochs=1, device="cpu", random_state=0)
    with pytest.warns(RuntimeWarning, match="going on with batches of 2"):
        assert cramped.fit(stream).history_["step"].iloc[-1] == 2


def test_released_checkpoints(shared_fixtures):
    for name, cls in {"scgn": SCGNDenoiser, "sfin": SFINDenoiser}.items():
        model = cls.from_checkpoint(shared_fixtures / f"{name}_released_layout.pth", device="cpu")
        with np.load(shared_fixtures / f"{name}_released_layout_io.npz") as io:
            frame, expected = io["in0"][:, 0], io["out0"][:, 0]
        np.testing.assert_allclose(model.transform(frame), expected, atol=1e-4 * expected.std())
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.transform(frame), model.transform(frame))


@pytest.mark.parametrize(
    "file, message",
    [
        ("sfin_released_layout.pth", "not for a SCGN of this size: it lacks"),
        ("atomdiffuser_released_layout.pth", "is of another network"),
    ],
)
def test_checkpoints_of_other_networks(shared_fixtures, file, message):
    with pytest.raises(ValueError, match=message):
        SCGNDenoiser.from_checkpoint(shared_fixtures / file)


def test_weights_of_another_network_or_cut_short(model, tmp_path):
    path = tmp_path / "w.safetensors"
    model.save_weights(path)
    with pytest.raises(ValueError, match="are for SCGN, but UNetDenoiser has the network UNet"):
        UNetDenoiser(weights=path).transform(PAIR[0])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        SCGNDenoiser(weights=path).transform(PAIR[0])


class Malice:
    def __reduce__(self):
        return os.mkdir, ("malice",)


def test_damaged_and_malicious_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model_state_dict": {"head_conv.weight": Malice()}}, "malicious.pth")
    torch.save({"head_conv.weight": torch.zeros(2)}, "whole.pth")
    data = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "short.pth").write_bytes(data[: len(data) // 2])
    for name, message in {
        "malicious.pth": "its code is not executed",
        "short.pth": "damaged or cut short",
        "whole.pth": "is of another network",
    }.items():
        with pytest.raises(ValueError, match=message):
            SCGNDenoiser.from_checkpoint(name)
    assert not (tmp_path / "malice").exists()


PAIR = random_pairs(2, (8, 8))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: m.fit(PAIR[0]), "y is missing, and so is noise"),
        (lambda m: m.fit(PAIR[0], PAIR[1][:1]), r"y has shape \(1, 8, 8\), but X is \(2, 8, 8\)"),
        (lambda m: m.fit(PAIR[0], PAIR[1] * np.nan), "y contains NaN in frame 0"),
        (lambda m: m.fit(np.ones((1, 1, 1)), np.ones((1, 1, 1))), "X is a single pixel"),
        (lambda m: m.set_params(noise=3).fit(PAIR[0]), "noise must be one of"),
        (lambda m: m.set_params(loss="l3").fit(*PAIR), r"loss must be one of \['l1', 'l2'\]"),
        (lambda m: m.set_params(max_epochs=0).fit(*PAIR), "max_epochs must be an int"),
        (lambda m: m.set_params(tile_size=2.5).fit(*PAIR), "tile_size must be an int"),
        (lambda m: m.set_params(lr=0).fit(*PAIR), "lr must be above 0"),
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
