"""The one recursion that both the afterglow and correlated rows follow."""

from __future__ import annotations

from ..._arrays import Frames

_NEGLIGIBLE = 1e-9  # below float32's resolution of the sum


def accumulate(values: Frames, factor: float) -> Frames:
    """Turn ``v[j]`` into ``v[j] + factor * (sum at j - 1)`` along the last axis, in place.

    The recursion is unrolled by doubling: after k steps each place holds its sum over the 2**k
    places before. It needs no loop over pixels, so a GPU is as much at home as a CPU.
    """
    step, weight = 1, factor
    while step < values.shape[-1] and weight > _NEGLIGIBLE:
        values[..., step:] += weight * values[..., :-step]
        step, weight = 2 * step, weight * weight
    return values
