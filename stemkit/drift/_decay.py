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
from ..networks.degradation import T_MAX, DegradationNet
from ._evidence import evidence_maps, unexplained_decay
from ._pairs import normalize_pair

# Times at which the network is asked; between them the decay runs straight.
_KNOTS = (25.0, 50.0, 75.0, T_MAX)
# A decay of 0 has no power but 0: with the least one time matters where all is lost, too.
_LEAST_DECAY = 0.01
_TILE, _OVERLAP = 256, 96


def decay_between(
    module: DegradationNet,
    first: Float32Array,
    aligned: Float32Array,
    overlap: NDArray[np.bool_],
    times: NDArray[np.float64],
    *,
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
    units : {"local", "released"}, default="local"
        How frames are scaled: by local contrast as for our weights, or to 0..1 as for the
        released ones.

    Returns
    -------
    ndarray of shape (n_times, H, W), float32
        1 at time 0 and never growing with time.
    """
    damage_at = _measured if module.n_evidence else _predicted
    module.eval().to(pick_device(device))
    maps = damage_at(module, first, aligned, overlap, times, units, device, precision)
    if overlap.any() and not overlap.all():
        _, (y, x) = ndimage.distance_transform_edt(~overlap, return_indices=True)
        maps = maps[:, y, x]
    return 1 - maps


def _measured(
    module: DegradationNet,
    first: Float32Array,
    aligned: Float32Array,
    overlap: NDArray[np.bool_],
    times: NDArray[np.float64],
    units: str,
    device: str,
    precision: str,
) -> Float32Array:
    """Damage from a network that judges estimates: at the second frame, and by law before."""
    inside = overlap.astype(np.float32)
    inputs = np.stack([*_scaled(first, aligned, units), *evidence_maps(first, aligned, inside)])

    @torch.inference_mode()
    def decay_at_end(x: Tensor) -> Tensor:
        return module.decode(module.encode(x[:, :1], x[:, 1:2]), T_MAX, x[:, 2:])

    end = _run(decay_at_end, inputs, device, precision)[0]
    # Twice, since what a window blurs away of the correction is left over again.
    for _ in range(2):
        end = (end + unexplained_decay(first, aligned, end, inside)).clip(_LEAST_DECAY, 1)
    # At a constant dose rate a share of what is there is lost in every instant.
    return np.stack([1 - end ** np.float32(t) for t in times])


def _predicted(
    module: DegradationNet,
    first: Float32Array,
    aligned: Float32Array,
    overlap: NDArray[np.bool_],
    times: NDArray[np.float64],
    units: str,
    device: str,
    precision: str,
) -> Float32Array:
    """Damage from a network alone, at each of its times; none more than at a later one."""

    @torch.inference_mode()
    def damage_at_knots(x: Tensor) -> Tensor:
        features = module.encode(x[:, :1], x[:, 1:])
        return torch.cat([1 - module.decode(features, knot) for knot in _KNOTS], dim=1)

    inputs = np.stack(_scaled(first, aligned, units))
    damage = _run(damage_at_knots, inputs, device, precision)
    damage = np.minimum.accumulate(damage[::-1], axis=0)[::-1]
    damage = np.concatenate([np.zeros_like(damage[:1]), damage])
    grid = np.array((0.0, *_KNOTS)) / T_MAX
    return np.stack([_between(grid, damage, t) for t in times])


def _scaled(
    first: Float32Array, second: Float32Array, units: str
) -> tuple[Float32Array, Float32Array]:
    return (normalize_pair if units == "local" else to_unit_range)(first, second)


def _run(
    function: Callable[[Tensor], Tensor], inputs: Float32Array, device: str, precision: str
) -> Float32Array:
    return run_tiled(
        function,
        inputs[np.newaxis],
        tile=_TILE,
        overlap=_OVERLAP,
        multiple=8,
        device=device,
        precision=precision,
    )[0]


def _between(grid: NDArray[np.float64], values: Float32Array, t: float) -> Float32Array:
    upper = int(np.searchsorted(grid, t).clip(1, len(grid) - 1))
    share = np.float32((t - grid[upper - 1]) / (grid[upper] - grid[upper - 1]))
    return values[upper - 1] * (1 - share) + values[upper] * share


def to_unit_range(first: Float32Array, second: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Scale a pair to 0..1 by its common range, the units of the released networks."""
    low = min(float(first.min()), float(second.min()))
    high = max(float(first.max()), float(second.max()))
    span = high - low if high > low else 1.0
    return (first - low) / np.float32(span), (second - low) / np.float32(span)
