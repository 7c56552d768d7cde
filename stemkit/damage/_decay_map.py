"""The decay between two aligned frames, from the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from .._validation import Float32Array
from ..engine import pick_device, run_tiled
from ..networks.degradation import LEAST_DECAY, T_MAX, DegradationNet
from ._background_level import ground_of
from ._decay_estimates import evidence_maps, refine_decay
from ._synthetic_pairs import normalize_pair

# Times at which the network is asked; between them the decay runs straight.
_KNOTS = (25.0, 50.0, 75.0, T_MAX)
_TILE, _OVERLAP = 256, 96


def decay_between(
    module: DegradationNet,
    first: Float32Array,
    aligned: Float32Array,
    overlap: NDArray[np.bool_],
    times: NDArray[np.float64],
    *,
    level: Float32Array | None = None,
    units: str = "local",
    device: str = "auto",
    precision: str = "auto",
) -> Float32Array:
    """Return the decay at each time, from a first frame and a second one aligned to it.

    Parameters
    ----------
    module : DegradationNet
        The network.
    first, aligned : ndarray of shape (H, W), float32
        At the resolution the network knows.
    overlap : ndarray of shape (H, W), bool
        Where ``aligned`` holds data.
    times : ndarray of shape (n_times,)
        Between 0 and 1.
    level : ndarray of shape (H, W), float32, optional
        What wholly damaged places show, where a series tells it better than the two frames do.
    units : {"local", "released"}, default="local"
        How frames are scaled: by local contrast as for our weights, or to 0..1 as for the
        released ones.

    Returns
    -------
    ndarray of shape (n_times, H, W), float32
        1 at time 0 and never growing with time.
    """
    scaled = scale_pair(first, aligned, units)
    module.eval().to(pick_device(device))

    def run(function: Callable[[Tensor], Tensor], inputs: Float32Array) -> Float32Array:
        return run_tiled(
            function,
            inputs[np.newaxis],
            tile=_TILE,
            overlap=_OVERLAP,
            multiple=8,
            device=device,
            precision=precision,
        )[0]

    if module.n_evidence:
        inside = overlap.astype(np.float32)
        ground = ground_of(first, aligned, inside, level)
        evidence = evidence_maps(first, aligned, inside, ground)
        end = run(_decay_at_end(module), np.stack([*scaled, *evidence]))[0]
        end = refine_decay(first, aligned, end, inside, ground).clip(LEAST_DECAY, 1)
        # At a constant dose rate a share of what is there is lost in every instant.
        maps = np.stack([1 - end ** np.float32(t) for t in times])
    else:
        damage = run(_damage_at_knots(module), np.stack(scaled))
        # None has more damage than a later one.
        damage = np.minimum.accumulate(damage[::-1], axis=0)[::-1]
        damage = np.concatenate([np.zeros_like(damage[:1]), damage])
        grid = np.array((0.0, *_KNOTS)) / T_MAX
        maps = np.stack([_between(grid, damage, t) for t in times])
    if overlap.any() and not overlap.all():
        _, (y, x) = ndimage.distance_transform_edt(~overlap, return_indices=True)
        maps = maps[:, y, x]
    return 1 - maps


def _decay_at_end(module: DegradationNet) -> Callable[[Tensor], Tensor]:
    """What a network that judges estimates says of the second frame."""

    @torch.inference_mode()
    def decay(x: Tensor) -> Tensor:
        return module.decode(module.encode(x[:, :1], x[:, 1:2]), T_MAX, x[:, 2:])

    return decay


def _damage_at_knots(module: DegradationNet) -> Callable[[Tensor], Tensor]:
    """What a network without estimates, a released one, says of each of its times."""

    @torch.inference_mode()
    def damage(x: Tensor) -> Tensor:
        features = module.encode(x[:, :1], x[:, 1:])
        return torch.cat([1 - module.decode(features, knot) for knot in _KNOTS], dim=1)

    return damage


def scale_pair(
    first: Float32Array, second: Float32Array, units: str
) -> tuple[Float32Array, Float32Array]:
    """Scale a pair as the network learned it: "local" for our weights, or "released"."""
    return (normalize_pair if units == "local" else _to_unit_range)(first, second)


def _between(grid: NDArray[np.float64], values: Float32Array, t: float) -> Float32Array:
    upper = int(np.searchsorted(grid, t).clip(1, len(grid) - 1))
    share = np.float32((t - grid[upper - 1]) / (grid[upper] - grid[upper - 1]))
    return values[upper - 1] * (1 - share) + values[upper] * share


def _to_unit_range(first: Float32Array, second: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Scale a pair to 0..1 by its common range, the units of the released networks."""
    low = min(float(first.min()), float(second.min()))
    high = max(float(first.max()), float(second.max()))
    span = high - low if high > low else 1.0
    return (first - low) / np.float32(span), (second - low) / np.float32(span)
