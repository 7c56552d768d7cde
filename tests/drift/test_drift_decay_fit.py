import pickle
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from stemkit import DriftDecayModel
from stemkit.damage._decay_estimates import N_ESTIMATES
from stemkit.engine import save_weights
from stemkit.networks import DegradationNet

from ..small_drift import fitted_model


@pytest.mark.usefixtures("quick_fits")
def test_verbose_shows_progress(pair, small_weights, capfd):
    for verbose in (0, 1):
        small = DriftDecayModel(
            weights=small_weights, max_epochs=1, random_state=0, verbose=verbose
        ).fit(pair.pairs)
        of_fit = capfd.readouterr()
        small.predict(pair.pairs[0])
        of_predict = capfd.readouterr()
        small.trajectory(pair.pairs[0])
        of_series = capfd.readouterr()
        assert of_fit.out == of_predict.out == of_series.out == ""
        if not verbose:
            assert of_fit.err == of_predict.err == of_series.err == ""
    assert "training: 100%" in of_fit.err
    assert "predict: 100%" in of_predict.err
    assert "drift: 100%" in of_series.err
    assert "decay: 100%" in of_series.err


@pytest.mark.usefixtures("quick_fits")
def test_fit_resumes_from_its_checkpoint(pair, small_weights, tmp_path, monkeypatch):
    common = {"weights": small_weights, "max_epochs": 1, "random_state": 0}
    whole = DriftDecayModel(**common, checkpoint_dir=tmp_path).fit(pair.pairs)
    steps = []
    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.AdamW, "step", lambda *arguments: steps.append(arguments))
        again = DriftDecayModel(**common, checkpoint_dir=tmp_path).fit(pair.pairs)
    assert not steps
    for one, other in zip(whole.module_.parameters(), again.module_.parameters(), strict=True):
        assert torch.equal(one, other)
    pd.testing.assert_frame_equal(whole.history_, again.history_)
    with pytest.raises(ValueError, match="is of another fit"):
        DriftDecayModel(**common, checkpoint_dir=tmp_path).fit(pair.pairs[:, ::-1, :100])


@pytest.fixture
def quick_fits(monkeypatch):
    small = {"_STEPS_PER_EPOCH": 2, "_BATCH_SIZE": 2, "_SIDE": 32}
    for name, value in small.items():
        monkeypatch.setattr(f"stemkit.damage._training.{name}", value)
    monkeypatch.setattr("stemkit.damage._training.VALIDATION_BATCHES", 1)


@pytest.fixture
def small_weights(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = DegradationNet((2, 2, 2), n_evidence=N_ESTIMATES)
    save_weights(module, tmp_path / "small.safetensors", {})
    return tmp_path / "small.safetensors"


@pytest.mark.usefixtures("quick_fits")
def test_fit_depends_on_the_seed_alone_and_keeps_the_global_random_state(pair, small_weights):
    np.random.seed(3)
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    models = [
        DriftDecayModel(weights=small_weights, max_epochs=1, random_state=seed).fit(pair.pairs)
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())
    weights = [torch.cat([p.flatten() for p in m.module_.parameters()]) for m in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert models[0].n_epochs_ == len(models[0].history_) == 1


@pytest.mark.parametrize("copy", [lambda m: pickle.loads(pickle.dumps(m)), clone])
def test_copies(model, pair, copy):
    twin = copy(model)
    assert twin.get_params() == model.get_params()
    if hasattr(twin, "module_"):
        assert np.array_equal(twin.predict(pair.pairs[0]).decay, model.predict(pair.pairs[0]).decay)


def test_joblib_and_no_torch_in_the_file(model, pair, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    assert b"torch" not in pickle.dumps(model)
    twin = joblib.load(tmp_path / "model.joblib")
    assert np.array_equal(twin.predict(pair.pairs[0]).decay, model.predict(pair.pairs[0]).decay)


def test_released_checkpoint(shared_fixtures, pair):
    model = DriftDecayModel.from_checkpoint(
        shared_fixtures / "atomdiffuser_released_layout.pth", registration="network"
    )
    inputs = np.load(shared_fixtures / "atomdiffuser_released_layout_io.npz")
    with torch.inference_mode():
        outputs = model.module_(*(torch.from_numpy(inputs[f"in{i}"]) for i in range(3)))
    found = {tuple(o.shape): o.numpy() for o in outputs}
    compared = 0
    for name in inputs.files:
        if name.startswith("out") and inputs[name].shape in found:
            difference = np.abs(found[inputs[name].shape] - inputs[name]).max()
            assert difference < 1e-4 * inputs[name].std()
            compared += 1
    assert compared == len(found)
    state = model.predict(pair.pairs[0], t=0.5)
    assert state.decay.shape == pair.pairs.shape[-2:]
    assert state.confidence == 0


def test_unfitted_without_weights():
    with pytest.raises(NotFittedError, match="call fit first"):
        DriftDecayModel(weights=None).predict(np.full((2, 64, 64), 7.0))


def test_the_network_has_the_units_device_and_precision_of_the_model():
    model = fitted_model().set_params(device="cpu", precision="32-true")
    for model.units_ in ("local", "released"):
        network = model._network()
        assert network.module is model.module_
        assert (network.units, network.device, network.precision) == (
            model.units_,
            "cpu",
            "32-true",
        )


def test_binning_is_that_of_the_first_frame_of_the_fit(monkeypatch):
    monkeypatch.setattr("stemkit.drift._drift_decay.choose_binning", lambda f: int(f.flat[0]))
    frames = np.stack([np.full((40, 40), value, "float32") for value in (3, 5)])
    model = DriftDecayModel(max_epochs=0)
    assert model._binning_for(frames[1]) == 5
    model.fit(frames)
    assert model.binning_ == 3
    assert model._binning_for(frames[1]) == 3
    # A binning block is not larger than the frame.
    assert model._binning_for(frames[1, :2]) == 2
    model.set_params(binning=4)
    assert model._binning_for(frames[1]) == 4


@pytest.mark.parametrize("pretrained", [True, False])
def test_fit_trains_on_binned_frames(pretrained, small_weights, monkeypatch):
    given = {}

    def adapt(module, frames, **named):
        given.update(named, frames=frames)
        return SimpleNamespace(history=pd.DataFrame({"loss": [0.5, 0.4]}))

    monkeypatch.setattr("stemkit.damage._training.adapt_network", adapt)
    frames = np.random.default_rng(0).random((3, 40, 48), dtype=np.float32)
    weights = small_weights if pretrained else None
    model = DriftDecayModel(weights=weights, max_epochs=2, binning=2, random_state=0).fit(frames)
    assert given["pretrained"] == pretrained
    assert given["n_epochs"] == model.n_epochs_ == 2
    blocks = frames.reshape(3, 20, 2, 24, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(given["frames"], blocks, atol=1e-6)
