import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.utils import get_tags
from torch import nn

from stemkit import DriftDecayModel
from stemkit.base import FrameEstimator


class Scaler(FrameEstimator):
    """The smallest estimator with a network."""

    def __init__(self, *, width=3, random_state=None):
        self.width = width
        self.random_state = random_state

    def fit(self, X, y=None):
        module = nn.Sequential(nn.Conv2d(1, self.width, 3), nn.BatchNorm2d(self.width))
        with torch.no_grad():
            for index, weights in enumerate(module.parameters()):
                weights.fill_(index + 0.25)
            module[1].running_mean.fill_(0.5)
        self.module_ = module
        self.history_ = pd.DataFrame({"step": [1, 2], "train_loss": [1.0, 0.5]})
        return self

    @staticmethod
    def _build_module(weights):
        width = len(weights["0.weight"])
        module = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width))
        module.load_state_dict(weights)
        return module


def through_joblib(model, tmp_path, **how):
    joblib.dump(model, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib", **how)


DUPLICATES = {
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "joblib": through_joblib,
    "memory map": lambda model, path: through_joblib(model, path, mmap_mode="r"),
}


@pytest.mark.parametrize("duplicate", DUPLICATES.values(), ids=DUPLICATES)
def test_copies_have_equal_weights_and_share_none(duplicate, tmp_path):
    model = Scaler(width=2).fit(None)
    again = duplicate(model, tmp_path)
    assert again.get_params() == model.get_params()
    pd.testing.assert_frame_equal(again.history_, model.history_)
    before = {key: value.clone() for key, value in model.module_.state_dict().items()}
    state = again.module_.state_dict()
    assert state.keys() == before.keys()
    assert all(torch.equal(state[key], value) for key, value in before.items())
    assert all(state[key].dtype == value.dtype for key, value in before.items())
    # Further training of a copy, even of a memory-mapped file, does not change the original.
    for weights in again.module_.parameters():
        weights.grad = torch.ones_like(weights)
    torch.optim.SGD(again.module_.parameters(), lr=1.0).step()
    assert all(torch.equal(model.module_.state_dict()[k], v) for k, v in before.items())
    assert not again.module_.training


def test_files_hold_numpy_and_nothing_of_torch():
    model = Scaler().fit(None)
    state = model.__getstate__()
    assert "module_" not in state
    assert all(type(value) is np.ndarray for value in state["_weights"].values())
    assert b"torch" not in pickle.dumps(model)
    assert b"pandas" not in pickle.dumps(model)
    # Reading the state does not change the estimator.
    assert isinstance(model.module_, nn.Sequential)
    model.__setstate__(state)
    assert "_weights" in state
    assert not hasattr(model, "_weights")


def test_copies_of_unfitted_estimators_are_unfitted():
    again = pickle.loads(pickle.dumps(Scaler(width=5)))
    assert again.width == 5
    assert not hasattr(again, "module_")


def test_clones_are_not_fitted():
    fresh = clone(Scaler(width=5).fit(None))
    assert fresh.width == 5
    assert not hasattr(fresh, "module_")


def test_an_estimator_must_build_its_network():
    class Forgetful(FrameEstimator):
        pass

    with pytest.raises(TypeError, match="must override _build_module"):
        Forgetful().__setstate__({"_weights": {"a": np.ones(2)}})


def test_tags_ask_for_stacks():
    tags = get_tags(Scaler())
    assert tags.input_tags.three_d_array
    # 2-D input is a stack of one-line frames
    assert tags.input_tags.two_d_array
    assert tags.non_deterministic
    assert not get_tags(Scaler(random_state=0)).non_deterministic


def frames():
    return np.random.default_rng(0).random((2, 40, 48)).astype("float32")


@pytest.mark.parametrize("weights", ["default", None])
def test_fitted_model_gives_the_same_result_after_pickling(weights):
    model = DriftDecayModel(
        weights=weights, max_epochs=0, registration="network", binning=1, random_state=0
    ).fit(frames())
    data = pickle.dumps(model)
    assert b"torch" not in data
    again = pickle.loads(data)
    one, other = (estimator.predict(frames()) for estimator in (model, again))
    np.testing.assert_array_equal(one.decay, other.decay)
    np.testing.assert_array_equal(one.drift, other.drift)
    assert again.binning_ == model.binning_
    assert again.history_.equals(model.history_)


def test_pickling_does_not_change_the_global_random_state():
    model = DriftDecayModel(weights=None, max_epochs=0, random_state=0).fit(frames())
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    pickle.loads(pickle.dumps(model))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
