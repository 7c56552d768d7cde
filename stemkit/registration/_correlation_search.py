"""The whole range of drifts and rotations at once, by Fourier transforms.

Frequencies are weighted as the maximum-likelihood estimate of a delay asks for: by how far their
signal stands above the noise. Signal that a displacement doesn't explain (damage, scan noise) is
taken for noise in proportion to the signal, which bounds the weight of a Bragg peak: a lattice
says where a frame lies modulo a lattice vector, and must not drown what says it absolutely.

References
----------
Knapp and Carter, "The generalized correlation method for estimation of time delay", IEEE
Transactions on Acoustics, Speech, and Signal Processing 24 (1976), 320-327.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from .._motion import Motion
from .._validation import Float32Array
from ._binning import smooth_frame
from ._warping import warp

# Share of a frame's side by which it is continued as its mirror image, fading out, so that its
# border makes no jump in a Fourier transform.
_RIM = 0.08
# Next to its border a filtered frame shows how its mirror image meets it: a trace that stays with
# the frame and not with the specimen. In px, and in shares of the frame's side at most.
_BORDER = (4, 0.1)
# Standard deviation of the high-pass, in shares of the shorter side: slower changes of
# brightness than this are damage and thickness as often as they are structure.
_LOW_CUT = 0.1
# Beyond this frequency, in cycles per px, frames hold noise and next to no signal.
_SIGNAL_END = 0.35
# Noise that even the cleanest frames are granted, in shares of their variance.
_LEAST_NOISE = 1e-3
# Peaks closer than this, in px of the binned frames, are one.
SEPARATION = 3.0


@dataclass(frozen=True)
class Peak:
    """A place on the correlation surface that may be the motion, and its height in deviations."""

    motion: Motion
    height: float


def border(shape: tuple[int, int]) -> tuple[int, int]:
    """Return how many px along each border of a filtered frame say nothing of the specimen."""
    rows, columns = (min(_BORDER[0], max(1, int(_BORDER[1] * side))) for side in shape)
    return rows, columns


def weigh_frequencies(frame: Float32Array, unexplained: float) -> Float32Array:
    """Return a frame with each frequency weighted by what it tells about a displacement.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32
        Any frame; its scale does not matter.
    unexplained : float
        Noise that comes with the signal, in shares of the signal's power.

    Returns
    -------
    ndarray of shape (H, W), float32
        With a variance of 1, or all zeros for a frame without signal.
    """
    detail = frame - smooth_frame(frame, _LOW_CUT * min(frame.shape))
    scale = float(np.sqrt(np.mean(detail**2, dtype=np.float64)))
    # Rounding leaves a trace in a constant frame too.
    if scale <= 1e-5 * float(np.abs(frame).max()):
        return np.zeros_like(frame)
    rim = [max(1, int(_RIM * side)) for side in frame.shape]
    padded = np.pad(detail / np.float32(scale), [(r, r) for r in rim], mode="reflect")
    padded *= _window(padded.shape, rim)
    spectrum = fft.rfft2(padded, workers=-1)
    power = np.square(np.abs(spectrum))
    smooth = ndimage.gaussian_filter(power, 1.0, mode=("wrap", "reflect"))
    # Far up the slow axis there is little but noise. Rows that were recorded out of place leave
    # theirs at all these frequencies alike, but only where the fast axis has signal: the floor
    # depends on the fast frequency. The median of an exponential distribution is ln 2 of its mean.
    beyond = np.abs(fft.fftfreq(padded.shape[0])) > _SIGNAL_END
    floor = np.median(power[beyond], axis=0) / np.float32(np.log(2))
    floor = ndimage.gaussian_filter1d(floor, 2.0, mode="reflect")
    floor += _LEAST_NOISE * np.float32(np.mean(power))
    signal = np.maximum(smooth - floor, 0)
    noise = floor + unexplained * smooth
    tiny = np.finfo(np.float32).tiny
    spectrum *= np.sqrt(signal / (noise * (noise + 2 * signal) + tiny))
    weighted = fft.irfft2(spectrum, padded.shape, workers=-1)
    weighted = weighted[rim[0] : -rim[0], rim[1] : -rim[1]]
    scale = float(np.sqrt(np.mean(weighted**2, dtype=np.float64)))
    return weighted / np.float32(scale) if scale > 0 else np.zeros_like(frame)


def search(
    first: Float32Array,
    second: Float32Array,
    *,
    rotations: NDArray[np.float64],
    max_drift: float,
    n_peaks: int,
) -> list[Peak]:
    """Find the best distinct peaks of the overlap-normalised correlation of two frames.

    Parameters
    ----------
    first, second : ndarray of shape (H, W), float32
        Frames as :func:`weigh_frequencies` returns them.
    rotations : ndarray of shape (n_rotations,)
        Rotations to try, in radians.
    max_drift : float
        Largest drift along each axis, in shares of the frame's side.
    n_peaks : int
        How many peaks to return at most, the highest first.

    Returns
    -------
    list of Peak
        Heights are in root mean squares of the correlation surface.
    """
    shape = (first.shape[0], first.shape[1])
    # Twice the side, so that nothing wraps round onto the other end of the frame.
    padded = tuple(fft.next_fast_len(2 * side, real=True) for side in shape)
    lags = [np.rint(fft.fftfreq(n, 1 / n)).astype(int) for n in padded]
    near = [
        np.flatnonzero(np.abs(lag) <= max_drift * n) for lag, n in zip(lags, shape, strict=True)
    ]
    near = [index[np.argsort(lag[index])] for index, lag in zip(near, lags, strict=True)]
    drifts = [lag[index] for lag, index in zip(lags, near, strict=True)]
    overlap = np.multiply.outer(*(1 - np.abs(d) / n for d, n in zip(drifts, shape, strict=True)))
    # Noise in a sum over the overlap grows as the root of its area.
    normalise = (1 / np.sqrt(overlap)).astype(np.float32)

    inner = _window(shape, border(shape))
    first, second = first * inner, second * inner
    transformed = fft.rfft2(second, padded, workers=-1)
    highest = np.full(normalise.shape, -np.inf, dtype=np.float32)
    which = np.zeros(normalise.shape, dtype=int)
    power = 0.0
    for index, rotation in enumerate(rotations):
        turn = Motion.from_parameters(shape, rotation=rotation)
        turned = warp(first, turn, fill=0.0, order=1) if rotation else first
        product = transformed * fft.rfft2(turned, padded, workers=-1).conj()
        surface = fft.irfft2(product, padded, workers=-1)[np.ix_(*near)] * normalise
        power += float(np.mean(surface**2, dtype=np.float64))
        better = surface > highest
        highest[better] = surface[better]
        which[better] = index
    if power == 0:
        return []
    highest /= np.float32(np.sqrt(power / len(rotations)))

    is_peak = highest == ndimage.maximum_filter(highest, size=2 * int(SEPARATION) + 1)
    rows, columns = np.nonzero(is_peak & (highest > 0))
    order = np.argsort(-highest[rows, columns], kind="stable")[:n_peaks]
    return [
        Peak(
            Motion.from_parameters(
                shape,
                drift=(
                    drifts[0][y] + _vertex(highest[:, x], y),
                    drifts[1][x] + _vertex(highest[y], x),
                ),
                rotation=rotations[which[y, x]],
            ),
            float(highest[y, x]),
        )
        for y, x in zip(rows[order], columns[order], strict=True)
    ]


def _vertex(values: Float32Array, index: int) -> float:
    """Return how far from ``index`` the parabola through it and its neighbours is highest."""
    if not 0 < index < len(values) - 1:
        return 0.0
    before, here, after = (float(v) for v in values[index - 1 : index + 2])
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _window(shape: tuple[int, ...], rim: Sequence[int]) -> Float32Array:
    """Return a window that rises from 0 at the border to 1 within ``rim``, as a squared sine."""
    sides = []
    for side, width in zip(shape, rim, strict=True):
        depth = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
        sides.append(np.sin(np.pi / 2 * np.minimum(depth / width, 1)) ** 2)
    return np.multiply.outer(*sides).astype(np.float32)
