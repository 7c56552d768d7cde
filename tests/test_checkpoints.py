"""Only the same fit continues a checkpoint; all changes of parameters or data are found."""

import shutil

import numpy as np
import pytest
import torch

from stemkit.damage._decay_estimates import N_ESTIMATES
from stemkit.drift import DriftDecayModel
from stemkit.engine import save_weights
from stemkit.engine._fingerprint import UNUSED_IN_FIT
from stemkit.networks.degradation import DegradationNet
from stemkit.noise import HRTEMNoise
from stemkit.utils import all_estimators

from .small_estimators import small_instances

pytestmark = pytest.mark.filterwarnings("ignore::stemkit.exceptions.LatticePriorWarning")

CLASSES = [cls for _, cls in all_estimators() if "checkpoint_dir" in cls().get_params(deep=False)]
DENOISERS = [cls for cls in CLASSES if cls is not DriftDecayModel]

# For each parameter of these estimators a value that differs from that of `make`.
CHANGED = {
    "band_weighting": "channel",
    "batch_size": 2,
    "bad_pixels": None,
    "exposure": None,
    "binning": 2,
    "checkpoint_dir": None,
    "deviation_weighting": False,
    "device": torch.device("cpu"),
    "flip": False,
    "lambda_b": 0.3,
    "lambda_c": 0.3,
    "lambda_sf": 0.3,
    "lambda_tv": 0.3,
    "layout": "released",
    "loss": "l2",
    "lr": 0.003,
    "max_drift": 0.3,
    "max_epochs": 3,
    "max_rotation": 2.0,
    "max_step": 4.0,
    "motion": "rigid",
    "n_blocks": 2,
    "n_channels": 6,
    "n_evidence": 2,
    "n_views": 4,
    "network": "scgn",
    "network_parameters": {"n_channels": 6},
    "noise": HRTEMNoise(random_state=0),
    "normalize": "training",
    "position_embedding": False,
    "precision": "bf16-mixed",
    "random_state": 1,
    "readout": "frame",
    "registration": "network",
    "scale": 1.1,
    "scan_direction": [0],
    "slope": 0.2,
    "steps_per_epoch": 3,
    "structure": "row",
    "tile_size": 8,
    "tv_reduction": "sum",
    "verbose": 1,
    "weights": "a file",  # see `another_value`
}


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    return rng.normal(50, 9, (2, 4, 16, 24)).astype(np.float32)


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Make estimators with a short fit."""
    weights = weights_of_damage(tmp_path_factory.mktemp("damage") / "w.safetensors", seed=0)

    def make(cls, **changes):
        common = {"max_epochs": 2, "random_state": 0}
        if cls is DriftDecayModel:
            common["weights"] = weights
        else:
            common |= {"loss": "l1", "batch_size": 3, "tile_size": 16, "weights": None}
        estimator = small_instances(cls)[0]
        known = estimator.get_params(deep=False).keys()
        common = {name: value for name, value in common.items() if name in known}
        return estimator.set_params(**common | changes)

    small = {"_STEPS_PER_EPOCH": 2, "_BATCH_SIZE": 2, "_SIDE": 32, "VALIDATION_BATCHES": 1}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.items():
            patch.setattr(f"stemkit.damage._training.{name}", value)
        yield make


@pytest.fixture
def old_fit(make, frames, tmp_path, old_fits):
    """Return a fitted estimator of a class, and a copy of its checkpoint_dir."""

    def fitted(cls):
        if cls not in old_fits:
            kept = old_fits["folder"] / cls.__name__
            old_fits[cls] = make(cls, checkpoint_dir=kept).fit(*frames), kept
        old, kept = old_fits[cls]
        return old, shutil.copytree(kept, tmp_path / "checkpoints")

    return fitted


@pytest.fixture(scope="module")
def old_fits(tmp_path_factory):
    return {"folder": tmp_path_factory.mktemp("old")}


def weights_of_damage(path, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_weights(DegradationNet((2, 2, 2), n_evidence=N_ESTIMATES), path, {})
    return path


def another_value(cls, name, make, frames, tmp_path):
    if name != "weights":
        return CHANGED[name]
    path = tmp_path / "others.safetensors"
    if cls is DriftDecayModel:
        return weights_of_damage(path, seed=1)
    make(cls, random_state=5).fit(*frames).save_weights(path)
    return path


def weights_of(estimator):
    return torch.cat([value.double().ravel() for value in estimator.module_.state_dict().values()])


@pytest.mark.parametrize(
    "cls, name",
    [
        (cls, name)
        for cls in CLASSES
        for name in cls().get_params(deep=False)
        if name != "checkpoint_dir"
    ],
)
def test_every_parameter_that_fit_uses_is_compared(cls, name, make, old_fit, frames, tmp_path):
    assert name in CHANGED, f"add a changed value of {name} to the table"
    changes = {name: another_value(cls, name, make, frames, tmp_path)}
    assert make(cls).get_params(deep=False)[name] != changes[name]
    old, folder = old_fit(cls)
    changed = make(cls, **changes, checkpoint_dir=folder)
    if name in UNUSED_IN_FIT | getattr(cls, "_unused_in_fit", set()):
        again, fresh = changed.fit(*frames), make(cls, **changes).fit(*frames)
        assert torch.equal(weights_of(again), weights_of(old))
        assert torch.equal(weights_of(again), weights_of(fresh))
        return
    with pytest.raises(ValueError, match=rf"checkpoint .*its [^;]*\b{name}\S* is .*here it is"):
        changed.fit(*frames)


def test_every_changed_value_is_one_of_a_parameter():
    assert CHANGED.keys() <= set().union(*(cls().get_params(deep=False) for cls in CLASSES))


@pytest.mark.parametrize("cls", CLASSES)
def test_same_fit_is_continued(cls, make, old_fit, frames):
    old, folder = old_fit(cls)
    again = make(cls, checkpoint_dir=folder).fit(*frames)
    assert torch.equal(weights_of(again), weights_of(old))
    assert again.history_.equals(old.history_)


def one_pixel(X, y):
    X[2, 3, 5] = np.nextafter(X[2, 3, 5], np.inf)


def two_pixels(X, y):
    X[2, 3, 5] += 8
    X[2, 4, 5] -= 8


def one_frame_upside_down(X, y):
    X[1] = X[1, ::-1].copy()


def order_of_frames(X, y):
    X[:] = X[[1, 0, 2, 3]].copy()


def order_of_pairs(X, y):
    for frames in (X, y):
        frames[:] = frames[[1, 0, 2, 3]].copy()


def one_pixel_of_the_target(X, y):
    y[0, 0, 0] += 1


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    "change",
    [
        one_pixel,
        two_pixels,
        one_frame_upside_down,
        order_of_frames,
        order_of_pairs,
        one_pixel_of_the_target,
    ],
)
def test_all_data_are_compared(cls, change, make, old_fit, frames):
    old, folder = old_fit(cls)
    changed = frames.copy()
    change(*changed)
    model = make(cls, checkpoint_dir=folder)
    if change is one_pixel_of_the_target and "noise" not in model.get_params(deep=False):
        assert torch.equal(weights_of(model.fit(*changed)), weights_of(old))  # y is not used
        return
    with pytest.raises(ValueError, match=r"checkpoint .*its training data\S* is .*here it is"):
        model.fit(*changed)


@pytest.mark.parametrize("cls", [cls for cls in DENOISERS if "noise" in cls().get_params()])
def test_parameters_of_the_noise_are_compared(cls, make, frames, tmp_path):
    noise = HRTEMNoise(random_state=0)
    make(cls, noise=noise, checkpoint_dir=tmp_path).fit(frames[0])
    again = make(cls, noise=HRTEMNoise(random_state=0), checkpoint_dir=tmp_path).fit(frames[0])
    assert len(again.history_) == 2
    changed = HRTEMNoise(random_state=0, gain=0.05)
    with pytest.raises(ValueError, match=r"checkpoint .*its noise\.gain is 0\.03583, here it is"):
        make(cls, noise=changed, checkpoint_dir=tmp_path).fit(frames[0])
