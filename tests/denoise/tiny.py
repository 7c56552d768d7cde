"""Small denoisers and random training pairs."""

import numpy as np
import torch
from sklearn.base import clone

from stemkit.denoise import NetworkDenoiser, PINNEDDenoiser, SCGNDenoiser

TINY = {"max_epochs": 1, "device": "cpu", "random_state": 0}


def network_denoiser(network, n_channels=4, **network_parameters):
    sizes = {"n_channels": n_channels, **network_parameters}
    return NetworkDenoiser(network=network, network_parameters=sizes, **TINY)


MODELS = {
    "scgn": SCGNDenoiser(n_blocks=1, n_channels=4, **TINY),
    "sfin": network_denoiser("sfin", n_blocks=1),
    "unet": network_denoiser("unet"),
    "pinned": PINNEDDenoiser(n_blocks=1, n_channels=4, **TINY),
    "idf": network_denoiser("idf", n_iterations=2),
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
