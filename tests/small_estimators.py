"""Every public estimator, as small as it can be had: what the common tests run on."""

from __future__ import annotations

from inspect import signature

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from stemkit import AtomLocator, DriftDecayModel
from stemkit.denoise import (
    BlindSpotDenoiser,
    MatchedDenoiser,
    NetworkDenoiser,
    SCGNDenoiser,
    SplitPairs,
    UDVDDenoiser,
)
from stemkit.noise import CompositeDegradationNoise, HRTEMNoise
from stemkit.utils import all_estimators

# Given to each estimator that has the parameter.
SMALL = {
    "n_channels": 4,
    "n_blocks": 1,
    "max_epochs": 1,
    "batch_size": 16,
    "device": "cpu",
    "random_state": 0,
}


def _tiny_network() -> SCGNDenoiser:
    X = np.random.default_rng(0).normal(size=(4, 16, 16))
    tiny = SCGNDenoiser(n_blocks=1, n_channels=4, max_epochs=2, device="cpu", random_state=0)
    return tiny.fit(X, X)


# For some estimators, parameters instead of or beside these: each a variant that is run.
VARIANTS: dict[type, list[dict]] = {
    BlindSpotDenoiser: [{"network_parameters": {"n_channels": 4}}],
    NetworkDenoiser: [
        {"network": "unet", "network_parameters": {"n_channels": 4}},
        {"network": "sfin", "network_parameters": {"n_channels": 4, "n_blocks": 1}},
        {"network": "idf", "network_parameters": {"n_channels": 4}},
    ],
    SplitPairs: [
        {
            "denoiser": NetworkDenoiser(
                network_parameters={"n_channels": 4},
                max_epochs=1,
                batch_size=16,
                device="cpu",
                random_state=0,
            )
        }
    ],
    # Measuring atoms first would only take time, as would the network that is shipped.
    MatchedDenoiser: [{"atom_sigma": 3.0, "denoiser": FrozenEstimator(_tiny_network())}],
    # At its own rate a step leaves it a constant, of which every check would be true.
    UDVDDenoiser: [{"lr": 0.1}],
    CompositeDegradationNoise: [{}, {"level": [1, 5]}],
    # Without weights nothing is known before fit; affine motions of lines only take time.
    DriftDecayModel: [{"weights": None, "max_epochs": 0, "motion": "translation"}],
}

# Checks of scikit-learn that can't hold, each with its reason.
_TABLE = "predict gives a table with a row for each atom, not one answer for each frame"
_PLACES = "y of score is a table of true places, not one number for each frame"
_FILM = "a frame is denoised with its neighbours in time"
_PAIR = "predict takes two frames, and says how they are related: not one answer for each frame"
EXPECTED_FAILURES: dict[type, dict[str, str]] = {
    AtomLocator: {
        "check_methods_sample_order_invariance": _TABLE,
        "check_fit_score_takes_y": _PLACES,
        "check_pipeline_consistency": _PLACES,
        "check_array_api_input": _PLACES,
    },
    UDVDDenoiser: {
        "check_methods_sample_order_invariance": _FILM,
        "check_methods_subset_invariance": _FILM,
    },
    DriftDecayModel: {
        "check_n_features_in_after_fitting": _PAIR,
        "check_estimators_dtypes": _PAIR,
        "check_dtype_object": _PAIR,
        "check_estimators_nan_inf": _PAIR,
        "check_estimators_pickle": _PAIR,
        "check_array_api_input": _PAIR,
        "check_f_contiguous_array_estimator": _PAIR,
        "check_methods_sample_order_invariance": _PAIR,
        "check_methods_subset_invariance": _PAIR,
        "check_dict_unchanged": _PAIR,
        "check_fit_idempotent": _PAIR,
        "check_fit2d_predict1d": _PAIR,
    },
}


def small_instances(cls: type[BaseEstimator]) -> list[BaseEstimator]:
    """Make the variants of one class that are to be run."""
    known = signature(cls).parameters
    small = {name: value for name, value in SMALL.items() if name in known}
    return [cls(**{**small, **variant}) for variant in VARIANTS.get(cls, [{}])]


def all_small_instances() -> list[BaseEstimator]:
    """Make all variants of all public estimators."""
    return [estimator for _, cls in all_estimators() for estimator in small_instances(cls)]


# Least value of a frame that is taken, where it is not 0 or any.
LOWEST: dict[type, float] = {
    # Below, gain * signal + offset would be a negative standard deviation.
    HRTEMNoise: -38.0,
}

# What becomes of a frame depends on the others of the series.
OF_THE_SERIES: dict[type, str] = {
    UDVDDenoiser: _FILM,
    DriftDecayModel: "frames are laid onto the first, as the drift between all of them says",
}
