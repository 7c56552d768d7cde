"""Measured estimates of the decay, between which the network chooses.

All are ratios of sums over windows, sum t I2 / sum t I1: how much of a template t is in either
frame. The template is the first frame's own structure as its *neighbouring* rows show it: noise
and jitter of a row are then in one factor alone and average to nothing, without being known. What
the estimates differ in is their windows, for what is narrow is noisy and what is wide is blurred,
and whether the frames' local mean has a say. The mean is quiet and closes the gaps between
columns, but film and amorphised matter stay in it: it counts from the ground up
(:mod:`stemkit.damage._background_level`). Two more compare the power of either frame's structure,
which bears any misplacement, but takes new structure for old.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._validation import Float32Array
from ._background_level import LOW_CUT, Ground, beside, ground_of, smooth, template

# Standard deviations of the windows in px, for frames as the network sees them, the widest first.
_WINDOWS = (24.0, 12.0, 6.0, 3.0, 1.5, 0.7)
_STRUCTURE_WINDOWS = (12.0, 6.0, 3.0)
_POWER_WINDOWS = (12.0, 6.0)
# The first of them that is narrow enough for whatever it can't explain to be no damage.
_NARROW = 3
N_EVIDENCE = len(_WINDOWS) + len(_STRUCTURE_WINDOWS) + len(_POWER_WINDOWS) + 1
# The standard error is told for this window, on a scale of so many decades below 1.
_ERROR_WINDOW = 6.0
_DECADES = 3.0

# Where a window's standard error is less it is believed wholly; where it is more, not at all.
_SURE, _VAGUE = 0.03, 0.06
# In between, power beyond so much of the noise's is signal, seen over so many windows.
_DOUBT, _OVER = 0.8, 4.0

# Where a window holds no more than this share of the usual structure, the next wider one counts.
_LEAN = 0.03


@dataclass(frozen=True)
class _Sums:
    """What windows sum up: the template times the second frame, and times the first.

    Both are 0 where ``inside`` is, beyond what the second frame shows.
    """

    seen: NDArray
    there: NDArray
    inside: NDArray


def evidence_maps(
    first: Float32Array,
    second: Float32Array,
    overlap: Float32Array | None = None,
    ground: Ground | None = None,
) -> Float32Array:
    """Estimate the decay between two aligned frames in several ways, and say how surely.

    Parameters
    ----------
    first, second : ndarray of shape (H, W), float32
        Frames with structure of 6 to 20 px, the second aligned to the first.
    overlap : ndarray of shape (H, W), float32, optional
        1 where the second frame holds data and 0 where not: windows count the former alone.
    ground : Ground, optional
        What wholly damaged places show, where a series tells it better than these two frames.

    Returns
    -------
    ndarray of shape (N_EVIDENCE + 1, H, W), float32
        Estimates in 0..1: six windows over all that lies above the ground, three over structure
        alone, two over its power, and what :func:`refine_decay` makes of an even map. Last the
        standard error of the first six's third, from 0 for 0.001 or less to 1 for 1.
    """
    inside = np.ones_like(first) if overlap is None else overlap
    if ground is None:
        ground = ground_of(first, second, overlap)
    above = _above_ground(first, second, inside, ground)
    detail = [frame - smooth(frame, LOW_CUT) for frame in (first, second)]
    shape = template(detail[0])
    structure = _coarse_to_fine(
        inside * shape * detail[1], inside * shape * detail[0], _STRUCTURE_WINDOWS
    )
    shared = [inside * frame * beside(frame) for frame in detail]
    power = _coarse_to_fine(shared[1], shared[0], _POWER_WINDOWS)
    estimates = _coarse_to_fine(above.seen, above.there, _WINDOWS)
    spread = _spread(above, estimates[_NARROW])
    joined = _refine(above, np.full_like(first, _overall(above.seen, above.there)))
    error = np.sqrt(spread / (4 * np.pi)) / _ERROR_WINDOW
    error = 1 + np.log10(error.clip(10**-_DECADES)) / _DECADES
    roots = [np.sqrt(ratio.clip(0)) for ratio in power]
    maps = [*estimates, *structure, *roots, joined, error]
    return np.stack(maps).clip(0, 1).astype(np.float32)


def refine_decay(
    first: Float32Array,
    second: Float32Array,
    decay: Float32Array,
    overlap: Float32Array | None = None,
    ground: Ground | None = None,
) -> Float32Array:
    """Add to a decay map what it leaves unexplained of what two aligned frames share.

    The estimates err differently, and so does what is made of them; but in a window wide enough to
    average the noise, what the first frame has and the second lacks is a fact. What narrower
    windows show counts as far as it stands out of the noise.

    Parameters
    ----------
    first, second : ndarray of shape (H, W), float32
        As for :func:`evidence_maps`.
    decay : ndarray of shape (H, W), float32
        The map in question.
    overlap : ndarray of shape (H, W), float32, optional
        As for :func:`evidence_maps`.
    ground : Ground, optional
        As for :func:`evidence_maps`.

    Returns
    -------
    ndarray of shape (H, W), float32
        May lie a little outside of 0..1.
    """
    inside = np.ones_like(first) if overlap is None else overlap
    if ground is None:
        ground = ground_of(first, second, overlap)
    return _refine(_above_ground(first, second, inside, ground), decay).astype(np.float32)


def _refine(above: _Sums, decay: NDArray) -> NDArray:
    usual = _usual(above.there)
    if usual <= 0:
        return decay

    def missing(window: float) -> NDArray:
        there = smooth(above.there, window).clip(0) + _LEAN * usual
        return smooth(above.seen - decay * above.there, window) / there

    for window in _WINDOWS:
        step = missing(window)
        # White noise is 1.8 times as strong in what a window half as wide adds.
        finer = (missing(window / 2) - step) ** 2 / 1.8
        # Beyond the overlap windows find nothing, which says neither of signal nor of noise.
        seen = smooth(above.inside, _OVER * window).clip(1e-3)
        power, noise = (
            (smooth(above.inside * v, _OVER * window) / seen).clip(1e-12) for v in (step**2, finer)
        )
        # Passing over gradually, or the map would show where one rule ends.
        wholly, at_all = ((1.5 - noise / error**2).clip(0, 1) for error in (_SURE, _VAGUE))
        trust = at_all * (1 - _DOUBT * noise / power).clip(0)
        decay = decay + (wholly + (1 - wholly) * trust) * step
    return decay


def _above_ground(
    first: Float32Array, second: Float32Array, inside: Float32Array, ground: Ground
) -> _Sums:
    there = first - ground.level
    shape = template(there)
    seen = inside * shape * (second - ground.level - ground.offset)
    return _Sums(seen, inside * shape * there, inside)


def _usual(there: NDArray) -> float:
    return float(np.mean(np.maximum(there, 0)))


def _overall(seen: NDArray, there: NDArray) -> float:
    usual = _usual(there)
    return float(np.clip(seen.mean() / max(float(there.mean()), usual), 0, 1)) if usual > 0 else 1.0


def _coarse_to_fine(seen: NDArray, there: NDArray, windows: tuple[float, ...]) -> list[NDArray]:
    """Ratios in ever narrower windows, each leaning on the one before where it holds little."""
    usual = _usual(there)
    if usual <= 0:
        return [np.ones_like(there) for _ in windows]
    wider: NDArray | float = _overall(seen, there)
    ratios = []
    for window in windows:
        lean = _LEAN * usual
        held = smooth(there, window)
        # Noise may leave a narrow window with less than nothing, which is no base for a share.
        ratio = np.where(held > 0, smooth(seen, window), 0) + lean * wider
        wider = (ratio / (held.clip(0) + lean)).clip(-0.3, 1.3)
        ratios.append(wider)
    return ratios


def _spread(above: _Sums, narrow: NDArray) -> NDArray:
    """Variance that a ratio has in a window, times 4 pi window^2.

    It is told from what even a narrow window can't explain: noise, and rows that lie elsewhere.
    """
    usual = _usual(above.there)
    if usual <= 0:
        return np.zeros_like(above.there)
    there = smooth(above.there, _ERROR_WINDOW).clip(_LEAN * usual)
    return smooth((above.seen - narrow * above.there) ** 2, _ERROR_WINDOW).clip(0) / there**2
