"""The decay between two aligned frames, from the network."""

from __future__ import annotations

from itertools import pairwise

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

# Finest spacing, in px, of the strongest lattice planes that binning may lead to: well within what
# the network saw in training, and no coarser than need be, since binning blurs the decay too.
_LEAST_SPACING = 10.0
# Slower than so many periods in a frame is thickness and vacuum, not structure.
_SLOWEST = 8
# How far a lattice's spot stands above the median of its ring, and how faint beside the brightest.
_SPOT, _FAINT = 30.0, 0.03
# Times at which the network is asked; between them the decay runs straight.
_KNOTS = (25.0, 50.0, 75.0, T_MAX)
_TILE, _OVERLAP = 256, 96


def choose_binning(frame: Float32Array) -> int:
    """Return how many px to bin so that the frame's structure is as fine as the network knows.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32

    Returns
    -------
    int
        1 where no structure stands out of the noise.
    """
    side = min(frame.shape)
    if side < 32:
        return 1
    window = np.hanning(frame.shape[0])[:, None] * np.hanning(frame.shape[1])
    power = np.abs(np.fft.rfft2((frame - frame.mean()) * window)) ** 2
    fy = np.fft.fftfreq(frame.shape[0])[:, None]
    fx = np.fft.rfftfreq(frame.shape[1])
    ring = np.rint(np.hypot(fy, fx) * side).astype(int).ravel()
    n_rings = side // 2 + 1
    # A lattice stands out of its ring as spots; noise, edges and amorphous matter fill rings.
    order = np.argsort(ring, kind="stable")
    starts = np.searchsorted(ring[order], np.arange(_SLOWEST, n_rings + 1))
    strongest = np.zeros(n_rings)
    for index, (start, stop) in enumerate(pairwise(starts), start=_SLOWEST):
        values = power.ravel()[order[start:stop]]
        peak = values.max()
        strongest[index] = peak if peak > _SPOT * np.median(values) else 0
    if not strongest.any():
        return 1
    # The slowest of them is the lattice's own repeat; what is faster is the motif within.
    slowest = int(np.flatnonzero(strongest > _FAINT * strongest.max())[0])
    return int(np.clip(side / slowest // _LEAST_SPACING, 1, side // 32))


def bin_frame(frame: Float32Array, binning: int) -> Float32Array:
    """Average blocks of ``binning`` px; a rim that fills no block is left out."""
    if binning == 1:
        return frame
    height, width = (n // binning for n in frame.shape)
    blocks = frame[: height * binning, : width * binning]
    return blocks.reshape(height, binning, width, binning).mean(axis=(1, 3), dtype=np.float32)


def unbin_map(values: Float32Array, binning: int, shape: tuple[int, int]) -> Float32Array:
    """Draw a binned map at full resolution, straight between the blocks' middles."""
    if binning == 1:
        return values
    middle = [
        ((np.arange(n) + 0.5) / binning - 0.5).clip(0, m - 1)
        for n, m in zip(shape, values.shape, strict=True)
    ]
    # Bilinear interpolation is separable: two passes of one axis, no grid of coordinates.
    for axis, place in enumerate(middle):
        below = np.floor(place).astype(int)
        above = np.minimum(below + 1, values.shape[axis] - 1)
        share = (place - below).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        values = values.take(below, axis) * (1 - share) + values.take(above, axis) * share
    return values


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
