import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from stemkit.datasets import NucleationStream
from stemkit.denoise import BlindSpotDenoiser
from stemkit.denoise._blind_spot import hide
from stemkit.metrics import BlindSpotScorer
from stemkit.networks import PINNED, SCGN, SFIN, UNet
from stemkit.noise import RowJitter
from stemkit.noise.functional import column_noise

from .small_net import SmallNet

TINY = {"network_parameters": {"n_channels": 4}, "max_epochs": 2, "device": "cpu", "lr": 0.01}


def denoiser(**parameters):
    return BlindSpotDenoiser(**{**TINY, "network": SmallNet, "random_state": 0, **parameters})


def lattice(n=24, side=32, seed=0):
    """Make frames of a lattice at random positions, with atoms of 1.8 px and 60 counts."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    phase = rng.uniform(0, 2 * np.pi, (2, n, 1, 1))
    return 100 + 15 * (1 + np.cos(0.7 * y + phase[0])) * (1 + np.cos(0.7 * x + phase[1]))


def test_learns_to_denoise_from_noisy_frames_alone():
    clean = lattice()
    noisy = clean + np.random.default_rng(1).normal(0, 20, clean.shape)
    model = denoiser(max_epochs=40, batch_size=8, lr=0.02).fit(noisy)
    denoised = model.transform(noisy)
    assert ((denoised - clean) ** 2).mean() < 0.25 * ((noisy - clean) ** 2).mean()
    # The loss can't fall below the variance of the noise.
    scale = model.target_scaling_[1]
    assert model.history_["train_loss"].iloc[-1] * scale**2 > 0.95 * 20**2
    identity = BlindSpotScorer()(Identity(), noisy)
    assert model.score(noisy) > identity


class Identity:
    def predict(self, X):
        return X


def test_noise_that_columns_share_stays_unless_columns_are_hidden():
    rng = np.random.default_rng(0)
    clean = lattice()
    noisy = column_noise(clean, 12.0, generator=rng)
    columns = (noisy - clean).mean(axis=1, keepdims=True)
    noisy = noisy + rng.normal(0, 8, clean.shape)

    def kept(structure):
        model = denoiser(structure=structure, max_epochs=40, batch_size=8, lr=0.02).fit(noisy)
        left = (model.transform(noisy) - clean).mean(axis=1, keepdims=True)
        return float((left * columns).mean() / (columns**2).mean())

    assert kept("pixel") > 0.6
    assert kept("column") < 0.25


def test_jitter_of_rows_stays_unless_rows_are_hidden():
    """The other pixels of a row contain its jitter, so the network reproduces it."""
    clean = lattice()
    jittered = RowJitter(sigma=1.0, correlation=0, random_state=0).fit_transform(clean)
    noisy = jittered + np.random.default_rng(1).normal(0, 8, clean.shape)

    def kept(structure):
        model = denoiser(structure=structure, max_epochs=40, batch_size=8, lr=0.02).fit(noisy)
        jitter = jittered - clean
        return float(((model.transform(noisy) - clean) * jitter).mean() / (jitter**2).mean())

    assert kept("pixel") > 0.6
    assert kept("row") < 0.35


@pytest.mark.parametrize("structure, share", [("pixel", 1 / 16), ("row", 1 / 4), ("column", 1 / 4)])
def test_hidden_pixels_are_spread_evenly_and_replaced_by_neighbours(structure, share):
    frames = torch.arange(3.0 * 16 * 24).reshape(3, 16, 24)
    counts = torch.zeros(frames.shape)
    for seed in range(100):
        filled, hidden = hide(frames, structure, np.random.default_rng(seed))
        assert hidden.float().mean() == share
        assert (filled[hidden] != frames[hidden]).all()
        assert (filled[~hidden] == frames[~hidden]).all()
        counts += hidden
        if structure != "pixel":
            lines = hidden.any(dim=2 if structure == "row" else 1)
            assert hidden.sum() == lines.sum() * (24 if structure == "row" else 16)
    assert counts.min() > 0
    distance = (filled - frames)[hidden].abs().reshape(-1)
    down, right = (distance + 12) // 24, (distance + 12) % 24 - 12
    inside = (down <= 2) & (right.abs() <= 2)
    assert inside.float().mean() > 0.7  # the others are from the opposite border


def test_replaced_pixels_have_noise_of_the_same_strength():
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 64, 64)))
    filled, hidden = hide(noise, "pixel", np.random.default_rng(1))
    assert filled[hidden].std() == pytest.approx(1, abs=0.1)
    assert abs(np.corrcoef(filled[hidden], noise[hidden])[0, 1]) < 0.12


@pytest.mark.parametrize("network", ["unet", "scgn", "sfin", "pinned", SmallNet])
def test_any_network(network):
    parameters = {"n_channels": 4} | ({"n_blocks": 1} if network in ("scgn", "sfin") else {})
    X = lattice(4, 16)
    model = denoiser(network=network, network_parameters=parameters).fit(X)
    kinds = {"unet": UNet, "scgn": SCGN, "sfin": SFIN, "pinned": PINNED, SmallNet: SmallNet}
    assert isinstance(model.module_, kinds[network])
    assert parameters.items() <= model.network_parameters_.items()
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    assert not hasattr(clone(model), "module_")


def test_weights_and_interrupted_fits(tmp_path):
    X = lattice(4, 16)
    model = denoiser(checkpoint_dir=tmp_path / "fit").fit(X)
    resumed = denoiser(checkpoint_dir=tmp_path / "fit").fit(X)
    np.testing.assert_array_equal(resumed.transform(X), model.transform(X))
    model.save_weights(tmp_path / "w.safetensors")
    loaded = BlindSpotDenoiser(network=SmallNet, weights=tmp_path / "w.safetensors", device="cpu")
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))


def test_true_frames_are_used_by_score_alone():
    X = lattice(4, 16)
    model = denoiser().fit(X)
    with_y = denoiser().fit(X, np.full(X.shape, np.nan))
    np.testing.assert_array_equal(model.transform(X), with_y.transform(X))
    assert model.score(X, X) > 0 > model.score(X)
    assert model.score(X) == BlindSpotScorer()(model, X)
    by_columns = denoiser(structure="column").fit(X)
    assert by_columns.score(X) == BlindSpotScorer(structure="column")(by_columns, X)


def test_search_and_streams():
    X = lattice(6, 16)
    search = GridSearchCV(denoiser(), {"network_parameters": [{}, {"n_channels": 2}]}, cv=2)
    assert np.isfinite(search.fit(X).best_score_)
    stream = denoiser(steps_per_epoch=2).fit(NucleationStream(2, (16, 16)))
    assert stream.transform(X).shape == X.shape


@pytest.mark.parametrize(
    "parameters, X, message",
    [
        (
            {"network": "net"},
            np.ones((2, 8, 8)),
            r"network must be one of .* or a callable; got 'net'",
        ),
        ({"structure": "line"}, np.ones((2, 8, 8)), r'structure must be one of "pixel"'),
        ({"structure": "column"}, np.ones((2, 8, 1)), "a column has no neighbour to learn from"),
        ({"loss": "l3"}, np.ones((2, 8, 8)), 'loss must be one of "l1" and "l2" or a callable'),
    ],
)
def test_bad_input_is_named(parameters, X, message):
    with pytest.raises(ValueError, match=message):
        denoiser(**parameters).fit(X)
