"""The decay between two aligned frames, from the network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from .._validation import Float32Array
from ..engine import pick_device, run_tiled
from ..networks.degradation import T_MAX, DegradationNet
from ._evidence import evidence_maps
from ._pairs import normalize_pair

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
    units: str = "local",
    device: str = "auto",
    precision: str = "auto",
    verbose: int = 0,
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
    scale = normalize_pair if units == "local" else to_unit_range
    channels = [*scale(first, aligned)]
    if module.n_evidence:
        channels.extend(evidence_maps(first, aligned))
    inputs = np.stack(channels)[np.newaxis]
    # The network's word on the second frame's own time is the one that data bear out: earlier
    # times are only asked for when wanted, and bend to it.
    knots = _KNOTS if ((times > 0) & (times < 1)).any() else _KNOTS[-1:]

    @torch.inference_mode()
    def damage_at_knots(x: Tensor) -> Tensor:
        features = module.encode(x[:, :1], x[:, 1:2])
        evidence = x[:, 2:] if module.n_evidence else None
        return torch.cat([1 - module.decode(features, knot, evidence) for knot in knots], dim=1)

    module.eval().to(pick_device(device))
    damage = run_tiled(
        damage_at_knots,
        inputs,
        tile=_TILE,
        overlap=_OVERLAP,
        multiple=8,
        device=device,
        precision=precision,
        verbose=verbose,
    )[0]
    damage = np.minimum.accumulate(damage[::-1], axis=0)[::-1]
    if overlap.any() and not overlap.all():
        _, (y, x) = ndimage.distance_transform_edt(~overlap, return_indices=True)
        damage = damage[:, y, x]
    grid = np.array((0.0, *knots)) / T_MAX
    damage = np.concatenate([np.zeros_like(damage[:1]), damage])
    return np.stack([1 - _between(grid, damage, t) for t in times])


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
