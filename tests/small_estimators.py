"""All public estimators with parameters that make them small, for the common tests."""

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

# Parameters that are set in each estimator that has them.
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


# Other or additional parameters of some estimators; each dict is a variant to test.
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
    # A given atom size and a small network save time.
    MatchedDenoiser: [{"atom_sigma": 3.0, "denoiser": FrozenEstimator(_tiny_network())}],
    # One step at the default rate leaves a constant output, for which checks would be trivial.
    UDVDDenoiser: [{"lr": 0.1}],
    CompositeDegradationNoise: [{}, {"level": [1, 5]}],
    # Without weights `fit` is required; translations take less time than affine motions.
    DriftDecayModel: [{"weights": None, "max_epochs": 0, "motion": "translation"}],
}

# Checks of scikit-learn that can't hold, each with its reason.
_TABLE = "predict gives a table with a row for each atom, not one result for each frame"
_POSITIONS = "y of score is a table of true positions, not one number for each frame"
_NEIGHBOURS = "a frame is denoised with its neighbours in time"
_PAIR = "predict relates two frames, and gives no result for each frame"
EXPECTED_FAILURES: dict[type, dict[str, str]] = {
    AtomLocator: {
        "check_methods_sample_order_invariance": _TABLE,
        "check_fit_score_takes_y": _POSITIONS,
        "check_pipeline_consistency": _POSITIONS,
        "check_array_api_input": _POSITIONS,
    },
    UDVDDenoiser: {
        "check_methods_sample_order_invariance": _NEIGHBOURS,
        "check_methods_subset_invariance": _NEIGHBOURS,
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
    """Make the variants of a class."""
    known = signature(cls).parameters
    small = {name: value for name, value in SMALL.items() if name in known}
    return [cls(**{**small, **variant}) for variant in VARIANTS.get(cls, [{}])]


def all_small_instances() -> list[BaseEstimator]:
    """Make all variants of all public estimators."""
    return [estimator for _, cls in all_estimators() for estimator in small_instances(cls)]


# Lowest intensity that an estimator accepts, if it is neither 0 nor unlimited.
LOWEST: dict[type, float] = {
    # At lower intensities gain * signal + offset, the standard deviation, is negative.
    HRTEMNoise: -38.0,
}

# Estimators whose result for a frame depends on the other frames of the series.
OF_THE_SERIES: dict[type, str] = {
    UDVDDenoiser: _NEIGHBOURS,
    DriftDecayModel: "frames are aligned to the first, by the drift between all of them",
}
