"""Denoisers that learn in no time, and what they learn from: noise on noise."""

import numpy as np
import torch
from sklearn.base import clone

from stemkit.denoise import IDFDenoiser, PINNEDDenoiser, SCGNDenoiser, SFINDenoiser, UNetDenoiser

TINY = {"n_channels": 4, "max_epochs": 1, "device": "cpu", "random_state": 0}
MODELS = {
    "scgn": SCGNDenoiser(n_blocks=1, **TINY),
    "sfin": SFINDenoiser(n_blocks=1, **TINY),
    "unet": UNetDenoiser(**TINY),
    "pinned": PINNEDDenoiser(n_blocks=1, **TINY),
    "idf": IDFDenoiser(n_iterations=2, **TINY),
}


def scgn(**parameters):
    return clone(MODELS["scgn"]).set_params(**parameters)


def random_pairs(n=4, shape=(24, 24), seed=0):
    rng = np.random.default_rng(seed)
    target = 100 + 20 * rng.standard_normal((n, *shape))
    return target + 10 * rng.standard_normal(target.shape), target


def same_weights(one, other):
    states = [estimator.module_.state_dict() for estimator in (one, other)]
    return all(torch.equal(states[0][key], states[1][key]) for key in states[0])
