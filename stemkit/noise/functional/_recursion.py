"""The recursion that the afterglow and correlated rows share."""

from __future__ import annotations

from ..._arrays import Frames

_NEGLIGIBLE = 1e-9  # below float32's resolution of the sum


def accumulate(values: Frames, factor: float) -> Frames:
    """Compute ``v[j] += factor * v[j - 1]`` for rising j along the last axis, in place.

    The recursion is unrolled by doubling: after k steps each place holds its sum over the 2**k
    places before it. There is no loop over pixels, so that it is fast on a GPU, too.
    """
    step, weight = 1, factor
    while step < values.shape[-1] and weight > _NEGLIGIBLE:
        values[..., step:] += weight * values[..., :-step]
        step, weight = 2 * step, weight * weight
    return values
