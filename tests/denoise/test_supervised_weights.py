"""Weights from files: our own, those that are shipped, the authors', and what is none of these."""

import os
import pickle

import numpy as np
import pytest
import torch

from stemkit.denoise import SCGNDenoiser, SFINDenoiser, UNetDenoiser

from .tiny import random_pairs


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
    X, _ = random_pairs(2, (8, 8))
    path = tmp_path / "w.safetensors"
    model.save_weights(path)
    with pytest.raises(ValueError, match="are for SCGN, but UNetDenoiser has the network UNet"):
        UNetDenoiser(weights=path).transform(X)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        SCGNDenoiser(weights=path).transform(X)


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
