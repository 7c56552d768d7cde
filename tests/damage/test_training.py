"""The loss of the training, and the arguments of the engine's training loop."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from stemkit.damage import _training
from stemkit.damage._training import adapt_network, pair_loss, train_network


def batch_with_errors(of_decay, of_motion):
    """Return a network whose results have these errors, and a batch for it."""
    decay, theta = torch.full((2, 1, 8, 8), 0.4), torch.tensor([[0.1, 0.2, -0.3], [0.0, 0.4, 0.1]])
    first, second, estimates = torch.rand(3, 2, 1, 8, 8, generator=torch.manual_seed(0))
    t = torch.tensor([100.0, 40.0])

    def network(*arguments):
        for given, expected in zip(arguments, (first, second, t, estimates), strict=True):
            assert given is expected
        return theta + of_motion, decay + of_decay

    return network, (first, second, t, estimates, decay, theta)


def test_loss_of_the_truth_is_zero_and_errors_are_means_of_absolute_values():
    assert {float(v) for v in pair_loss(*batch_with_errors(0.0, 0.0)).values()} == {0}
    found = pair_loss(*batch_with_errors(-0.2, 0.05))
    assert float(found["decay_mae"]) == pytest.approx(0.2, rel=1e-5)
    assert float(found["motion_mae"]) == pytest.approx(0.05, rel=1e-5)


def test_loss_grows_with_either_error_and_faster_than_that_of_the_decay():
    def loss(of_decay, of_motion):
        return float(pair_loss(*batch_with_errors(of_decay, of_motion))["loss"])

    assert loss(0.1, 0.0) == pytest.approx(loss(-0.1, 0.0), rel=1e-4)
    # A large error counts more than two of half its size, which keeps amplitudes.
    assert loss(0.2, 0.0) > 2.2 * loss(0.1, 0.0)
    assert loss(0.0, 0.2) == pytest.approx(2 * loss(0.0, 0.1), rel=1e-4)
    assert loss(0.1, 0.1) == pytest.approx(loss(0.1, 0.0) + loss(0.0, 0.1), rel=1e-4)
    assert 0 < loss(0.0, 0.1) < loss(0.1, 0.0)


@pytest.fixture
def fits(monkeypatch):
    """Record the arguments of each call of the engine's training loop, without running it."""
    calls = []
    monkeypatch.setattr(
        _training, "fit_module", lambda *given, **named: calls.append((given, named))
    )
    return calls


def test_training_gets_its_arguments(fits):
    named = {
        "max_steps": 30,
        "lr": 0.01,
        "checkpoint_dir": "somewhere",
        "checkpoint_every": 7,
        "fingerprint": {"loss": 1},
        "device": "cpu",
        "precision": "32-true",
        "random_state": 5,
        "verbose": 1,
    }
    module = object()
    train_network(module, steps_per_epoch=9, batch_size=3, side=24, **named)
    (((given, loss, source), rest),) = fits
    assert given is module
    assert loss is pair_loss
    assert {name: rest[name] for name in named} == named
    assert source.steps_per_epoch == 9
    first = source.batch(0)[0]
    assert first.shape == (3, 1, 24, 24)
    # Validation uses other pairs, and another seed gives different ones.
    validation = rest["validation"]
    assert validation.steps_per_epoch == _training.VALIDATION_BATCHES
    train_network(module, steps_per_epoch=9, batch_size=3, side=24, **named | {"random_state": 6})
    (_, _, other), other_rest = fits[1]
    sources = (source, validation, other, other_rest["validation"])
    batches = [np.asarray(s.batch(0)[0]) for s in sources]
    assert len({batch.tobytes() for batch in batches}) == 4


def adapt(frames, **changed):
    named = {
        "n_epochs": 3,
        "pretrained": True,
        "random_state": 5,
        "checkpoint_dir": "somewhere",
        "fingerprint": {"loss": 1},
        "device": "cpu",
        "precision": "32-true",
        "verbose": 1,
    } | changed
    adapt_network(object(), frames, **named)
    return named


def test_adaption_runs_whole_epochs_and_takes_larger_steps_from_scratch(fits):
    frame = np.random.default_rng(0).random((40, 40), dtype=np.float32)
    named = adapt([frame])
    adapt([frame], pretrained=False)
    (given, rest), (_, scratch) = fits
    assert rest["max_steps"] == 3 * given[2].steps_per_epoch
    assert rest["lr"] < scratch["lr"]
    passed = set(named) - {"n_epochs", "pretrained"}
    assert {name: rest[name] for name in passed} == {name: named[name] for name in passed}


def test_adaption_cuts_pairs_from_the_frames_without_their_noise(fits, monkeypatch):
    given = {}

    def batch(rng, **named):
        given.update(named)
        return (np.zeros((1, 1, 8, 8), "float32"),)

    monkeypatch.setattr(_training, "synthetic_batch", batch)
    y = np.arange(64)[:, None] * np.ones((1, 64))
    clean = np.sin(2 * np.pi * y / 12)
    noise = np.random.default_rng(0).normal(0, 0.5, clean.shape)
    adapt([(clean + noise).astype("float32")])
    fits[0][0][2].batch(0)
    (frame,) = given["frames"]
    inside = (slice(8, -8), slice(8, -8))
    # White noise loses nine tenths of its variance; the lattice keeps most of its contrast.
    left = frame - ndimage.gaussian_filter(clean, 1.0)
    assert left[inside].std() < 0.35 * noise.std()
    assert frame[inside].std() > 0.8 * clean.std()
