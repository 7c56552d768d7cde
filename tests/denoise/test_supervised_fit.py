"""Fits continue after another fit, after an interruption, and after a lack of memory."""

import numpy as np
import pytest
import torch

from stemkit.datasets import NucleationStream
from stemkit.denoise import SupervisedDenoiser

from .tiny import random_pairs, same_weights, scgn


def test_partial_fit_continues():
    X, y = random_pairs()
    model = scgn(max_epochs=2).fit(X, y)
    before = {key: value.clone() for key, value in model.module_.state_dict().items()}
    scaling = model.input_scaling_
    model.partial_fit(X + 50, y)
    assert model.n_epochs_ == len(model.history_) == 3
    assert model.input_scaling_ == scaling
    after = model.module_.state_dict()
    changes = [
        float((before[k] - after[k]).abs().max()) for k, _ in model.module_.named_parameters()
    ]
    assert 0 < max(changes) < 0.1
    assert scgn().partial_fit(X, y).n_epochs_ == 1


class StoppedError(Exception):
    pass


class StoppingStream:
    def __init__(self, max_batches):
        self.max_batches = max_batches
        self.n_batches = 0

    def fingerprint(self):
        return {}

    def make_batch(self, generator):
        self.n_batches += 1
        if self.n_batches > self.max_batches:
            raise StoppedError
        return generator.normal(size=(2, 2, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("per_epoch, n_epochs, last, kept", [(2, 3, 5, 4), (70, 1, 60, 50)])
def test_stopped_fit_loses_an_epoch_or_50_steps_at_most(per_epoch, n_epochs, last, kept, tmp_path):
    settings = {"steps_per_epoch": per_epoch, "max_epochs": n_epochs, "tile_size": 8}
    n_checked = 3  # batches read before the first step: for shape, scale and hash
    n_steps = per_epoch * n_epochs
    unbroken = scgn(**settings).fit(StoppingStream(n_steps + n_checked))
    with pytest.raises(StoppedError):
        scgn(**settings, checkpoint_dir=tmp_path).fit(StoppingStream(last + n_checked))
    stream = StoppingStream(n_steps)
    again = scgn(**settings, checkpoint_dir=tmp_path).fit(stream)
    assert stream.n_batches == n_steps - kept + n_checked
    assert same_weights(again, unbroken)


def test_finished_fit_is_loaded_from_its_checkpoint(tmp_path):
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


class Limited(torch.nn.Module):
    """A network that runs out of memory with larger batches."""

    largest_batch = 2

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        if len(x) > self.largest_batch:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.scale * x


class LimitedDenoiser(SupervisedDenoiser):
    _network = Limited


def test_batches_are_halved_if_memory_is_short(monkeypatch):
    X, y = random_pairs(8)
    with pytest.warns(RuntimeWarning, match="continuing with batches of 2") as caught:
        model = LimitedDenoiser(batch_size=4, max_epochs=1, device="cpu", random_state=0).fit(X, y)
    assert caught[0].filename == __file__
    small_batches = LimitedDenoiser(batch_size=2, max_epochs=1, device="cpu", random_state=0).fit(
        X, y
    )
    assert model.history_["step"].iloc[-1] == small_batches.history_["step"].iloc[-1] == 4
    expected = small_batches.transform(X)
    monkeypatch.setattr("stemkit.denoise._inference._n_tiles", lambda *_: 4)
    with pytest.warns(RuntimeWarning, match="continuing with batches of 2") as caught:
        np.testing.assert_array_equal(small_batches.transform(X), expected)
    assert caught[0].filename == __file__
    monkeypatch.setattr("stemkit.denoise._inference._n_tiles", lambda *_: 2)
    monkeypatch.setattr(Limited, "largest_batch", 0)
    with (
        pytest.raises(MemoryError, match="use a smaller tile_size"),
        pytest.warns(RuntimeWarning, match="batches of 1"),
    ):
        small_batches.transform(X)


def test_batches_of_streams_are_halved_if_memory_is_short():
    stream = NucleationStream(4, (16, 16))
    limited = LimitedDenoiser(
        steps_per_epoch=2, batch_size=4, max_epochs=1, device="cpu", random_state=0
    )
    with pytest.warns(RuntimeWarning, match="continuing with batches of 2"):
        assert limited.fit(stream).history_["step"].iloc[-1] == 2
