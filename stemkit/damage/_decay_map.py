"""The map of the decay between two aligned frames, from the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from .._validation import Float32Array
from ..engine import pick_device, run_tiled
from ..networks.degradation import MIN_DECAY, T_MAX, DegradationNet
from ._aligned_pair import AlignedPair, Background
from ._background_level import background_of_pair
from ._decay_error import PRIOR_ERROR, decay_error
from ._decay_estimates import decay_estimates, refine_decay
from ._network import DamageNetwork
from ._normalization import scale_pair

# Times at which a released network is evaluated; in between the decay is interpolated linearly.
_KNOTS = (25.0, 50.0, 75.0, T_MAX)
_TILE, _TILE_OVERLAP = 256, 96


class DecayMaps(NamedTuple):
    """Decay at some times between two frames, and its standard error.

    Attributes
    ----------
    decay : ndarray of shape (n_times, H, W), float32
        1 at time 0 and never increasing with time. Outside the overlap it is that of the nearest
        pixel inside, and where the frames tell nothing, the decay of the whole frame.
    stderr : ndarray of shape (n_times, H, W), float32
        0 at time 0. At time 1 it is `PRIOR_ERROR` where the frames tell nothing, and outside the
        overlap.
    """

    decay: Float32Array
    stderr: Float32Array


def decay_between(
    network: DamageNetwork,
    pair: AlignedPair,
    times: NDArray[np.float64],
    background: Background | None = None,
) -> DecayMaps:
    """Compute the decay at each time, from a first frame and a second one aligned to it.

    Parameters
    ----------
    network : DamageNetwork
        The network.
    pair : AlignedPair
        The frames, at the resolution of the network's training.
    times : ndarray of shape (n_times,)
        Times between 0 and 1.
    background : Background, optional
        The background, if a whole series gives a better estimate of it than these frames.

    Returns
    -------
    DecayMaps
        The decay and its standard error.
    """
    scaled = scale_pair(pair.first.frame, pair.second.frame, network.units)
    module = network.module
    module.eval().to(pick_device(network.device))

    def run(function: Callable[[Tensor], Tensor], inputs: Float32Array) -> Float32Array:
        return run_tiled(
            function,
            inputs[np.newaxis],
            tile=_TILE,
            overlap=_TILE_OVERLAP,
            multiple=8,
            device=network.device,
            precision=network.precision,
        )[0]

    if background is None:
        background = background_of_pair(pair)
    above = pair.above(background)
    if module.n_evidence:
        inputs = np.stack([*scaled, *decay_estimates(pair, above)])
        end = refine_decay(above, run(_decay_at_end(module), inputs)[0])
        found = decay_error(pair, above, background, end.clip(MIN_DECAY, 1))
        end = found.decay.clip(MIN_DECAY, 1)
        # At a constant dose rate the signal decays exponentially.
        decay = np.stack([end ** np.float32(t) for t in times])
    else:
        at_knots = run(_damage_at_knots(module), np.stack(scaled))
        # Damage never decreases with time.
        at_knots = np.minimum.accumulate(at_knots[::-1], axis=0)[::-1]
        at_knots = np.concatenate([np.zeros_like(at_knots[:1]), at_knots])
        grid = np.array((0.0, *_KNOTS)) / T_MAX
        decay = 1 - np.stack([_interpolate(grid, at_knots, t) for t in times])
        end = (1 - at_knots[-1]).clip(MIN_DECAY, 1)
        found = decay_error(pair, above, background, end, refined=False)
    inside = pair.overlap == 1
    error = np.where(inside, found.stderr, PRIOR_ERROR)
    stderr = np.stack([(t * end ** (t - 1) * error).clip(0, PRIOR_ERROR) for t in times])
    if inside.any() and not inside.all():
        _, (y, x) = ndimage.distance_transform_edt(~inside, return_indices=True)
        decay = decay[:, y, x]
    return DecayMaps(decay.astype(np.float32), stderr.astype(np.float32))


def _decay_at_end(module: DegradationNet) -> Callable[[Tensor], Tensor]:
    """Return a function for the decay at the second frame, of a network that weighs estimates."""

    @torch.inference_mode()
    def decay(x: Tensor) -> Tensor:
        return module.decode(module.encode(x[:, :1], x[:, 1:2]), T_MAX, x[:, 2:])

    return decay


def _damage_at_knots(module: DegradationNet) -> Callable[[Tensor], Tensor]:
    """Return a function for the damage at all knots, of a released network."""

    @torch.inference_mode()
    def damage(x: Tensor) -> Tensor:
        features = module.encode(x[:, :1], x[:, 1:])
        return torch.cat([1 - module.decode(features, knot) for knot in _KNOTS], dim=1)

    return damage


def _interpolate(grid: NDArray[np.float64], values: Float32Array, t: float) -> Float32Array:
    """Interpolate linearly between values on a grid of times."""
    upper = int(np.searchsorted(grid, t).clip(1, len(grid) - 1))
    share = np.float32((t - grid[upper - 1]) / (grid[upper] - grid[upper - 1]))
    return values[upper - 1] * (1 - share) + values[upper] * share
