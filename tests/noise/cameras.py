"""Frames of cameras with known noise, and the errors of calibrations from them."""

import warnings

import numpy as np
from sklearn.base import clone

# Without fixed seeds, a test would fail once in a million runs.
LEVEL = 1e-6
LEVELS = np.linspace(60, 120, 6)
HRTEM = {"gain": 0.03583, "offset": 1.379, "column_sigma": 0.6641}
COUNTING = {"gain": 3.0, "read_sigma": 4.0, "column_sigma": 0.8}


def vacuum(camera, seed=0, *, n_frames=16, side=48, levels=LEVELS):
    camera = clone(camera).set_params(random_state=seed)
    return [camera.fit_transform(np.full((n_frames, side, side), level)) for level in levels]


def z_scores(noise, truth):
    return [
        (getattr(noise, f"{name}_") - value) / getattr(noise, f"{name}_stderr_")
        for name, value in truth.items()
    ]


def quietly(estimator, X, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return estimator.fit(X, **arguments)
