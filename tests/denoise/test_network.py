"""Custom networks, losses and noise in NetworkDenoiser and BlindSpotDenoiser."""

import functools
import json
import pickle
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn
from torch.nn import functional as F

from stemkit.denoise import BlindSpotDenoiser, NetworkDenoiser, PINNEDDenoiser
from stemkit.engine import load_card
from stemkit.exceptions import LatticePriorWarning
from stemkit.networks import IDF, PINNED, SCGN, SFIN, UNet
from stemkit.noise import HRTEMNoise, functional

from .small_net import SmallNet
from .tiny import random_pairs, same_weights

TINY = {"max_epochs": 1, "batch_size": 2, "device": "cpu", "random_state": 0}
both = pytest.mark.parametrize("cls", [NetworkDenoiser, BlindSpotDenoiser])


def denoiser(**parameters):
    return NetworkDenoiser(**{**TINY, "network": SmallNet, **parameters})


class Unpadded(nn.Conv2d):
    def __init__(self):
        super().__init__(1, 1, 3)


class ThreeColours(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 3, 3, padding=1)


class TwoOutputs(nn.Conv2d):
    def __init__(self):
        super().__init__(1, 2, 3, padding=1)


class OnePixel(nn.Module):
    """A network whose output broadcasts to the shape of any target."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.scale * x.mean((2, 3), keepdim=True)


class Pair(SmallNet):
    def forward(self, x):
        return super().forward(x), x


class NotANumber(SmallNet):
    def forward(self, x):
        return super().forward(x) * np.nan


class Complex(SmallNet):
    def forward(self, x):
        return torch.fft.fft2(super().forward(x))


class Double(SmallNet):
    def __init__(self):
        super().__init__()
        self.double()


class Lazy(nn.Sequential):
    def __init__(self, n_channels=4):
        super().__init__(
            nn.LazyConv2d(n_channels, 3, padding=1),
            nn.LazyBatchNorm2d(),
            nn.ReLU(),
            nn.LazyConv2d(1, 3, padding=1),
        )


class EvenSides(SmallNet):
    def forward(self, x):
        return F.interpolate(F.max_pool2d(super().forward(x), 2), scale_factor=2)


def make_small_net(n_channels=4):
    return SmallNet(n_channels)


SHARED = SmallNet()


def make_shared():
    return SHARED


def make_number():
    return 3


@both
@pytest.mark.parametrize(
    "network, message",
    [
        (SmallNet(), r"network is an instance of SmallNet.*fresh weights: pass its class"),
        (make_number, r"network must make a torch\.nn\.Module; it made 3"),
        (make_shared, "network must make a new module at every call"),
        (nn.Identity, "network must have weights to train"),
        (functools.partial(SmallNet, device="meta"), "network could not be made with"),
        (Unpadded, r"network must return shape \(1, 1, 20, 18\) .* but returned \(1, 1, 18, 16\)"),
        (ThreeColours, r"network fails on frames of shape \(1, 1, 20, 18\): .*channels"),
        (TwoOutputs, r"network must return shape .* one output channel"),
        (OnePixel, r"network must return shape .* returned \(1, 1, 1, 1\)"),
        (Pair, r"network must return one tensor .* it returned \(tensor"),
        (NotANumber, "network returns NaN or inf"),
        (Complex, "network must return real numbers; it returned torch.complex64"),
        ("net", r'network must be one of "idf", "pinned", .* or a callable; got \'net\''),
        (3, "network must be one of .* or a callable; got 3"),
    ],
)
def test_unsuitable_networks_are_errors(cls, network, message):
    X, y = random_pairs(2, (20, 18))
    with pytest.raises((ValueError, TypeError), match=message) as raised:
        cls(**TINY, network=network).fit(X, y)
    assert str(raised.value).count("\n") == 0


@both
@pytest.mark.parametrize("network", [SmallNet, make_small_net, Double, Lazy, lambda: SmallNet(3)])
def test_networks_of_any_kind_are_trained(cls, network):
    X, y = random_pairs(3, (20, 18))
    before = torch.get_rng_state()
    model, again, other = (
        cls(**{**TINY, "random_state": seed}, network=network).fit(X, y) for seed in (0, 0, 1)
    )
    assert same_weights(model, again)
    assert not same_weights(model, other)
    assert model.transform(X).dtype == np.float32
    assert all(value.dtype != torch.float64 for value in model.module_.state_dict().values())
    assert torch.equal(torch.get_rng_state(), before)
    if network.__name__ == "<lambda>":
        return
    restored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(restored.transform(X), model.transform(X))


def test_frames_of_a_size_that_a_network_cannot_take_are_extended_or_an_error():
    X, y = random_pairs(2, (20, 18))
    model = denoiser(network=EvenSides).fit(X, y)
    even = model.transform(X[:, :8])
    odd = model.transform(X[:, :7])
    assert odd.shape == (2, 7, 18)
    np.testing.assert_allclose(odd[:, :2, :12], even[:, :2, :12], atol=1e-4 * np.abs(even).max())
    model.set_params(tile_size=15)  # has no even divisor
    with pytest.raises(ValueError, match="network must return shape"):
        model.transform(X[:, :7])


def test_results_that_are_not_finite_are_errors():
    X, y = random_pairs(3, (12, 12))
    model = denoiser().fit(X, y)
    with torch.no_grad():
        model.module_[0].weight.fill_(np.inf)
    with pytest.raises(ValueError, match="network returned NaN or inf for frame 0 of X"):
        model.transform(X)


@pytest.mark.parametrize(
    "name, network", [("idf", IDF), ("pinned", PINNED), ("scgn", SCGN), ("sfin", SFIN)]
)
@both
def test_network_parameters_reach_the_network_and_the_card(cls, name, network, tmp_path):
    X, y = random_pairs(2, (16, 16))
    parameters = {"n_channels": 6, **({"n_blocks": 1} if name != "idf" else {"n_iterations": 2})}
    model = cls(**TINY, network=name, network_parameters=parameters).fit(X, y)
    assert type(model.module_) is network
    shapes = {k: v.shape for k, v in network(**parameters).state_dict().items()}
    assert {k: v.shape for k, v in model.module_.state_dict().items()} == shapes
    model.save_weights(tmp_path / "w.safetensors", scores=[1])
    card = load_card(tmp_path / "w.safetensors")
    assert card["network"] == network.__name__
    assert parameters.items() <= card["parameters"].items()
    assert card["scores"] == [1]


def test_network_parameters_can_be_searched():
    X, y = random_pairs(4, (12, 12))
    grid = {"network_parameters": [{"n_channels": 2}, {"n_channels": 3}]}
    search = GridSearchCV(denoiser(), grid, cv=2).fit(X, y)
    best = search.best_params_["network_parameters"]["n_channels"]
    assert search.best_estimator_.module_[0].out_channels == best
    assert clone(search.best_estimator_).network_parameters == {"n_channels": best}


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"width": 3}, r"network could not be made with network_parameters=\{.*'width': 3\}: "),
        ({"n_channels": "four"}, "network could not be made with network_parameters"),
        ([4], "network_parameters must be None or a dict"),
    ],
)
@pytest.mark.parametrize("network", ["unet", "sfin", SmallNet])
def test_wrong_network_parameters_are_named(network, parameters, message):
    with pytest.raises(ValueError, match=message):
        denoiser(network=network, network_parameters=parameters).fit(*random_pairs(2, (12, 12)))


def test_weights_load_into_the_same_network_alone(tmp_path):
    X, y = random_pairs(2, (12, 12))
    path = tmp_path / "w.safetensors"
    model = denoiser(network_parameters={"n_channels": 3}).fit(X, y)
    model.save_weights(path)
    for network in (SmallNet, make_small_net):
        loaded = NetworkDenoiser(network=network, weights=path, device="cpu")
        np.testing.assert_array_equal(loaded.transform(X), model.transform(X))
    blind = BlindSpotDenoiser(network=SmallNet, weights=path, device="cpu")
    np.testing.assert_array_equal(blind.transform(X), model.transform(X))
    for network in (UNet, "unet", "scgn", Lazy, lambda n_channels: Lazy(n_channels)):
        with pytest.raises(ValueError, match=r"w\.safetensors (are for the network|is not for)"):
            NetworkDenoiser(network=network, weights=path).transform(X)
    with pytest.raises(ValueError, match=r"n_channels=4 is not that of weights"):
        loaded.set_params(network=SmallNet, network_parameters={"n_channels": 4}).fit(X, y)


def test_parameters_that_a_card_cannot_hold_are_named(tmp_path):
    def make(activation):
        return nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), activation())

    model = denoiser(network=make, network_parameters={"activation": nn.ReLU})
    model.fit(*random_pairs(2, (12, 12)))
    with pytest.raises(ValueError, match="JSON"):
        model.save_weights(tmp_path / "w.safetensors")
    assert not list(tmp_path.iterdir())


def test_tuples_among_parameters_equal_the_lists_of_the_card(tmp_path):
    def make(sides=(3, 5)):
        return nn.Sequential(*(nn.Conv2d(1, 1, side, padding=side // 2) for side in sides))

    X, y = random_pairs(2, (12, 12))
    model = denoiser(network=make, network_parameters={"sides": (5, 7)}).fit(X, y)
    model.save_weights(tmp_path / "w.safetensors")
    assert json.loads((tmp_path / "w.json").read_text())["parameters"] == {"sides": [5, 7]}
    again = denoiser(network=make, network_parameters={"sides": (5, 7)})
    again.set_params(weights=tmp_path / "w.safetensors")
    np.testing.assert_array_equal(again.transform(X), model.transform(X))


def test_checkpoints_of_a_custom_network(tmp_path):
    X, _ = random_pairs(2, (12, 12))
    network = SmallNet(3)
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    model = NetworkDenoiser.from_checkpoint(
        tmp_path / "mine.pth", network=SmallNet, network_parameters={"n_channels": 3}, device="cpu"
    )
    with torch.no_grad():
        expected = network(torch.from_numpy(X[:, None]).float())[:, 0].numpy()
    np.testing.assert_allclose(model.transform(X), expected, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(ValueError, match="is not for a SmallNet of this size"):
        NetworkDenoiser.from_checkpoint(tmp_path / "mine.pth", network=SmallNet)


def cubed(outputs, targets):
    return (outputs - targets).abs().pow(3).mean()


def with_parts(outputs, targets):
    error, size = F.mse_loss(outputs, targets), outputs.abs().mean()
    return {"loss": error + 0.1 * size, "mse": error, "size": size}


@both
def test_a_custom_loss_is_minimised(cls):
    X, y = random_pairs(2, (12, 12))
    named, function = (cls(**TINY, network=SmallNet, loss=loss).fit(X, y) for loss in ("l2", cubed))
    assert not same_weights(named, function)
    same = cls(**TINY, network=SmallNet, loss=nn.MSELoss()).fit(X, y)
    assert same_weights(named, same)
    parts = cls(**TINY, network=SmallNet, loss=with_parts).fit(X, y).history_.iloc[0]
    assert parts.train_loss == pytest.approx(parts.train_mse + 0.1 * parts.train_size)


@pytest.mark.parametrize(
    "loss, message",
    [
        (lambda outputs, targets: 3.0, "loss must return a tensor of one number.*returned 3.0"),
        (lambda outputs, targets: (outputs - targets).abs(), "loss must return a tensor of one"),
        (lambda outputs, targets: cubed(outputs.detach(), targets), "loss must return a tensor"),
        (lambda outputs, targets: {"mse": cubed(outputs, targets)}, "with a key 'loss'"),
        (lambda outputs: outputs.mean(), "loss must take two arguments, the outputs and the"),
        (nn.MSELoss, r"loss is a class; pass an instance of it, as loss=MSELoss\(\)"),
        ("l3", 'loss must be one of "l1" and "l2" or a callable'),
    ],
)
def test_invalid_losses_are_named(loss, message):
    with pytest.raises(ValueError, match=message):
        denoiser(loss=loss).fit(*random_pairs(2, (12, 12)))


def test_a_function_of_noise_reaches_every_batch():
    drawn = []

    def noise(frames, *, generator):
        noisy = functional.gaussian_noise(frames, 5.0, generator=generator)
        drawn.append((noisy - frames).numpy().ravel())
        return noisy

    _, clean = random_pairs(2, (16, 16))
    model = denoiser(noise=noise, max_epochs=3, flip=False).fit(clean)
    steps = np.stack(drawn[-3:])
    assert np.abs(np.corrcoef(steps) - np.eye(3)).max() < 0.2
    assert steps.std() == pytest.approx(5, rel=0.1)
    again = denoiser(noise=noise, max_epochs=3, flip=False).fit(clean)
    assert same_weights(model, again)
    assert model.score(clean) == model.score(clean)
    partial = denoiser(noise=functools.partial(functional.gaussian_noise, sigma=5.0))
    assert np.isfinite(clone(partial).fit(clean).transform(clean)).all()
    plain = denoiser(max_epochs=3, flip=False).fit(clean, clean)
    assert not same_weights(model, plain)


def test_a_function_that_ignores_its_generator_repeats_and_leaves_global_randomness_alone():
    _, clean = random_pairs(2, (16, 16))
    before = torch.get_rng_state()
    one, two = (
        denoiser(noise=lambda frames, generator: frames + torch.randn_like(frames)).fit(clean)
        for _ in range(2)
    )
    assert same_weights(one, two)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "noise, message",
    [
        (HRTEMNoise, r"noise is a class; pass an instance of it, as noise=HRTEMNoise\(\)"),
        (lambda frames: frames, r"noise must be .* is called with \(frames, generator=generator\)"),
        (lambda frames, generator: frames.numpy(), "noise must return a tensor of the shape"),
        (lambda frames, generator: frames[:, :2], "noise must return a tensor of the shape"),
        (lambda frames, generator: frames * np.nan, "noise must return finite real numbers"),
    ],
)
def test_invalid_noise_is_named(noise, message):
    with pytest.raises(ValueError, match=message):
        denoiser(noise=noise).fit(random_pairs(2, (12, 12))[1])


def lattice_warnings(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(warning.filename == __file__ for warning in caught)
    return [warning.category for warning in caught]


@pytest.mark.parametrize(
    "with_prior, without",
    [
        (
            NetworkDenoiser(**TINY, network="pinned", network_parameters={"n_evidence": 1}),
            NetworkDenoiser(**TINY, network="pinned"),
        ),
        (PINNEDDenoiser(**TINY, n_evidence=1), PINNEDDenoiser(**TINY)),
    ],
    ids=["network", "pinned"],
)
def test_a_lattice_prior_is_warned_of_once_a_call(with_prior, without):
    X, y = random_pairs(2, (40, 24))
    model = clone(with_prior).set_params(tile_size=16)
    calls = (
        lambda: model.fit(X, y),
        lambda: model.partial_fit(X, y),
        lambda: model.transform(X),
        lambda: model.predict(X),
        lambda: model.score(X, y),
    )
    for call in calls:
        assert lattice_warnings(call) == [LatticePriorWarning]
    assert lattice_warnings(lambda: clone(without).fit(X, y).transform(X)) == []


class Halving(nn.Module):
    """A network with a skip connection, for sides that are multiples of four."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 2, 3, padding=1)
        self.up = nn.ConvTranspose2d(2, 2, 4, stride=4)
        self.out = nn.Conv2d(3, 1, 1)

    def forward(self, x):
        small = nn.functional.max_pool2d(self.down(x), 4)
        return self.out(torch.cat([x, self.up(small)], dim=1))


@pytest.mark.parametrize("side", [32, 37, 50, 90])
def test_a_network_that_halves_its_input_takes_frames_of_any_size(side):
    X = np.random.default_rng(0).normal(50, 9, (2, side, side + 3)).astype("float32")
    model = NetworkDenoiser(network=Halving, max_epochs=1, tile_size=32, device="cpu")
    assert model.fit(X, X).transform(X).shape == X.shape


class Asserting(nn.Conv2d):
    def __init__(self):
        super().__init__(1, 1, 3, padding=1)

    def forward(self, x):
        assert x.shape[-1] % 64 == 0
        return super().forward(x)


def test_any_error_of_a_network_or_loss_of_ones_own_is_named():
    X = np.random.default_rng(0).normal(50, 9, (2, 24, 24)).astype("float32")
    options = {"max_epochs": 1, "tile_size": 16, "device": "cpu"}
    with pytest.raises(ValueError, match="The network fails on frames of shape"):
        NetworkDenoiser(network=Asserting, **options).fit(X, X)
    for loss in (
        lambda o, t: 1 / 0,
        lambda o, t: o.abs().mean() * 1j,
        lambda o, t: o @ t[:, :, :3],
    ):
        with pytest.raises(ValueError, match=r"^loss "):
            NetworkDenoiser(
                network="unet", network_parameters={"n_channels": 2}, loss=loss, **options
            ).fit(X, X)


def test_sizes_of_numpy_are_saved_and_loaded(tmp_path):
    X = np.random.default_rng(0).normal(50, 9, (2, 16, 16)).astype("float32")
    parameters = {"n_channels": np.int64(2)}
    model = NetworkDenoiser(network="unet", network_parameters=parameters, max_epochs=1).fit(X, X)
    model.save_weights(tmp_path / "w.safetensors", score=np.float32(0.5))
    again = NetworkDenoiser(
        network="unet", network_parameters={"n_channels": 2}, weights=tmp_path / "w.safetensors"
    )
    np.testing.assert_array_equal(again.transform(X), model.transform(X))


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = PINNED(n_channels=2, n_blocks=1, n_evidence=1)

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize(
    "network", [functools.partial(PINNED, n_channels=2, n_blocks=1, n_evidence=1), Wrapped]
)
def test_a_lattice_prior_within_a_network_of_ones_own_is_warned_of(network):
    X = np.random.default_rng(0).normal(50, 9, (2, 16, 16)).astype("float32")
    model = NetworkDenoiser(network=network, max_epochs=1, tile_size=16, device="cpu")
    with pytest.warns(LatticePriorWarning):
        model.fit(X, X)
    with pytest.warns(LatticePriorWarning):
        model.transform(X)


@both
@pytest.mark.parametrize("network", [SmallNet, Lazy, "unet"])
@pytest.mark.parametrize(
    "changed",
    [{"network": "sfin"}, {"network": nn.ReLU}, {"network": None}, {"tile_size": 0}],
    ids=str,
)
def test_a_fitted_denoiser_is_read_back_whatever_is_set_later(cls, network, changed, tmp_path):
    sizes = {"n_channels": 4} if network == "unet" else None
    noisy, target = random_pairs()
    parameters = {**TINY, "tile_size": 16, "network": network, "network_parameters": sizes}
    model = cls(**parameters).fit(noisy, *([target] if cls is NetworkDenoiser else []))
    expected = model.transform(noisy)
    model.set_params(**changed)
    joblib.dump(model, tmp_path / "model.joblib")
    for again in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        assert again.get_params()[next(iter(changed))] == next(iter(changed.values()))
        assert same_weights(again, model)
        again.set_params(network=network, tile_size=16)
        np.testing.assert_array_equal(again.transform(noisy), expected)


def test_a_failed_fit_leaves_the_network_before(tmp_path):
    model = denoiser().fit(*random_pairs())
    with pytest.raises(ValueError, match="network"):
        model.set_params(network=nn.ReLU).fit(*random_pairs())
    assert model.network_ is SmallNet
    assert same_weights(pickle.loads(pickle.dumps(model)), model)
    model.set_params(network=Lazy).fit(*random_pairs())
    assert model.network_ is Lazy
