"""Weights from files: saved, shipped and released ones, and files without valid weights."""

import os
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from stemkit.denoise import NetworkDenoiser, SCGNDenoiser

from .tiny import random_pairs


def unsized(model):
    """Return a denoiser with the default size of the same network."""
    named = {"network": model.network} if isinstance(model, NetworkDenoiser) else {}
    return type(model)(**named, device="cpu", random_state=0)


def sized(model, n_channels):
    """Return a denoiser with weights="default" that requests a number of channels."""
    size = {"n_channels": n_channels}
    if isinstance(model, NetworkDenoiser):
        size = {"network_parameters": size}
    return unsized(model).set_params(weights="default", **size)


def test_weights_of_a_file(fitted, tmp_path):
    X, y = random_pairs()
    path = tmp_path / "w.safetensors"
    fitted.save_weights(path, data="simulated")
    # The file determines the size of the network.
    other = unsized(fitted).set_params(weights=path)
    np.testing.assert_array_equal(other.transform(X), fitted.transform(X))
    tuned = clone(other).set_params(max_epochs=1, lr=1e-9).fit(X, y)
    for one, ours in zip(tuned.module_.parameters(), fitted.module_.parameters(), strict=True):
        torch.testing.assert_close(one, ours, atol=1e-6, rtol=0)
    (tmp_path / "w.json").write_text("{}")
    with pytest.raises(ValueError, match=r"card .*w\.json lacks 'network'"):
        clone(other).transform(X)


def test_default_weights(fitted, tmp_path, monkeypatch):
    X, y = random_pairs()
    cls = type(fitted)
    monkeypatch.setattr(cls, "_default_weights", None)
    with pytest.raises(ValueError, match=f"ships no weights for {cls.__name__}"):
        unsized(fitted).set_params(weights="default").transform(X)
    fitted.save_weights(tmp_path / "shipped.safetensors")
    monkeypatch.setattr(cls, "_default_weights", tmp_path / "shipped.safetensors")
    shipped = unsized(fitted).set_params(weights="default")
    if cls is SCGNDenoiser:
        shipped.set_params(normalize="training")
    np.testing.assert_array_equal(shipped.transform(X), fitted.transform(X))
    # Parameters that equal those of the weights are accepted, others are an error.
    same = sized(fitted, 4).set_params(max_epochs=1, lr=1e-9).fit(X, y)
    assert same.network_parameters_ == fitted.network_parameters_
    other = sized(fitted, 6)
    for call in (other.transform, lambda frames: other.fit(frames, y)):
        with pytest.raises(ValueError, match=r"n_channels=6 is not that of weights=.*shipped"):
            call(X)


def test_released_checkpoints(shared_fixtures):
    files = {name: shared_fixtures / f"{name}_released_layout.pth" for name in ("scgn", "sfin")}
    models = [
        ("scgn", SCGNDenoiser.from_checkpoint(files["scgn"], device="cpu")),
        ("scgn", NetworkDenoiser.from_checkpoint(files["scgn"], network="scgn", device="cpu")),
        ("sfin", NetworkDenoiser.from_checkpoint(files["sfin"], network="sfin", device="cpu")),
    ]
    for name, model in models:
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
    X, _ = random_pairs(2, (8, 8))
    path = tmp_path / "w.safetensors"
    model.save_weights(path)
    with pytest.raises(ValueError, match="for the network SCGN, but this NetworkDenoiser"):
        NetworkDenoiser(weights=path).transform(X)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        SCGNDenoiser(weights=path).transform(X)


class MakesFolder:
    def __reduce__(self):
        return os.mkdir, ("malice",)


def test_damaged_and_malicious_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model_state_dict": {"head_conv.weight": MakesFolder()}}, "malicious.pth")
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
