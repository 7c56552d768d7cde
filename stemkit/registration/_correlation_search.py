"""Search of the whole range of drifts and rotations by Fourier transforms.

Frequencies are weighted by their signal-to-noise ratio, as in the maximum-likelihood estimate of a
delay. Changes that no displacement explains (damage, scan noise) are modelled as noise
proportional to the signal, which limits the weight of Bragg peaks: a lattice determines the drift
only modulo a lattice vector, and must not hide the structure that determines it uniquely.

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

from .._missing import Mask, missing_regions
from .._motion import Motion
from .._validation import Float32Array
from ._binning import wide_gaussian_filter
from ._warping import warp

# Frames are padded by their mirror image, fading out, over this share of their side. Without a step
# at the border, its trace in the Fourier transform is small.
_RIM = 0.08
# Width of the border of a filtered frame that is affected by the padding and so moves with the
# frame, not with the specimen: in px, and at most this share of the side.
_BORDER = (4, 0.1)
# Standard deviation of the high-pass filter as a share of the shorter side. Slower changes of
# intensity are damage and thickness as often as structure.
_HIGH_PASS = 0.1
# Above this frequency, in cycles per px, frames contain hardly any signal.
_SIGNAL_END = 0.35
# Noise assumed at least, as a share of the frame's variance.
_MIN_NOISE = 1e-3
# Least overlap of the data of two frames with parts missing, as a share of a frame: a few pixels
# agree by chance.
_MIN_OVERLAP = 0.05
# Smallest distance of peaks, in px of the binned frames.
SEPARATION = 3.0


@dataclass(frozen=True)
class Peak:
    """A peak of the correlation surface: motion, and height in root mean squares.

    ``beyond`` is the height of the highest peak outside the disc, relative to this one's.
    ``depth`` is that of the lowest value of the surface, in the unit of ``height``.
    """

    motion: Motion
    height: float
    beyond: float = 0.0
    depth: float = 0.0


def border(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the width of the border of a filtered frame, in rows and columns, to leave out."""
    rows, columns = (min(_BORDER[0], max(1, int(_BORDER[1] * side))) for side in shape)
    return rows, columns


def share_of_data(missing: Mask, width: int) -> Float32Array:
    """Return a factor for each pixel, which rises from 0 at parts without data to 1.

    Parameters
    ----------
    missing : ndarray of shape (H, W), bool
        Pixels without data.
    width : int
        Distance in px from a part without data at which the factor is 1. Beside single pixels, it
        is 1: their filled values are good enough for their neighbours to be filtered.

    Returns
    -------
    ndarray of shape (H, W), float32
    """
    regions = missing_regions(missing)
    if not regions.any():
        return (~missing).astype(np.float32)
    depth = ndimage.distance_transform_edt(~regions)
    share = np.sin(np.pi / 2 * np.minimum((depth - 0.5).clip(0) / width, 1)) ** 2
    return np.where(missing, 0, share).astype(np.float32)


def weigh_frequencies(
    frame: Float32Array, unexplained: float, share: Float32Array | None = None
) -> Float32Array:
    """Weight the frequencies of a frame by their information about a displacement.

    See :func:`weigh_and_rate` for the parameters and the result.
    """
    return weigh_and_rate(frame, unexplained, share)[0]


def weigh_and_rate(
    frame: Float32Array, unexplained: float, share: Float32Array | None = None
) -> tuple[Float32Array, float]:
    """Weight the frequencies of a frame, and return how much of the result is signal.

    Parameters
    ----------
    frame : ndarray of shape (H, W), float32
        A frame in any unit.
    unexplained : float
        Noise proportional to the signal, as a share of the signal's power.
    share : ndarray of shape (H, W), float32, optional
        Factor of each pixel, 0 where the frame holds no data, see :func:`share_of_data`.

    Returns
    -------
    weighted : ndarray of shape (H, W), float32
        The weighted frame with a variance of 1, or zeros for a frame without signal. Pixels without
        data are 0.
    signal : float
        Share of its variance that is not noise, by its spectrum; 0 for a frame without signal.
    """
    detail = frame - wide_gaussian_filter(frame, _HIGH_PASS * min(frame.shape))
    if share is not None:
        detail *= share
    scale = float(np.sqrt(np.mean(detail**2, dtype=np.float64)))
    # A constant frame is not exactly 0 after filtering, from rounding.
    if scale <= 1e-5 * float(np.abs(frame).max()):
        return np.zeros_like(frame), 0.0
    rim = [max(1, int(_RIM * side)) for side in frame.shape]
    padded = np.pad(detail / np.float32(scale), [(r, r) for r in rim], mode="reflect")
    padded *= _window(padded.shape, rim)
    spectrum = fft.rfft2(padded)
    power = np.square(np.abs(spectrum))
    smooth = ndimage.gaussian_filter(power, 1.0, mode=("wrap", "reflect"))
    # High frequencies along the slow axis contain hardly anything but noise. The noise of misplaced
    # rows is the same at all of these, but only where the fast axis has signal, so the floor
    # depends on the fast frequency. The median of an exponential distribution is ln 2 times its
    # mean.
    beyond = np.abs(fft.fftfreq(padded.shape[0])) > _SIGNAL_END
    floor = np.median(power[beyond], axis=0) / np.float32(np.log(2))
    floor = ndimage.gaussian_filter1d(floor, 2.0)
    floor += _MIN_NOISE * np.float32(np.mean(power))
    signal = np.maximum(smooth - floor, 0)
    noise = floor + unexplained * smooth
    tiny = np.finfo(np.float32).tiny
    gain = signal / (noise * (noise + 2 * signal) + tiny)
    rate = float(np.vdot(gain, signal)) / max(float(np.vdot(gain, smooth)), float(tiny))
    spectrum *= np.sqrt(gain)
    weighted = fft.irfft2(spectrum, padded.shape)
    weighted = weighted[rim[0] : -rim[0], rim[1] : -rim[1]]
    if share is not None:
        weighted = weighted * share
    scale = float(np.sqrt(np.mean(weighted**2, dtype=np.float64)))
    return (weighted / np.float32(scale) if scale > 0 else np.zeros_like(frame)), rate


def search(
    first: Float32Array,
    second: Float32Array,
    *,
    rotations: NDArray[np.float64],
    max_drift: float,
    n_peaks: int,
    shares: Sequence[Float32Array] | None = None,
    disc: tuple[tuple[float, float], float] | None = None,
    scales: Sequence[float] | NDArray[np.float64] = (1.0,),
) -> list[Peak]:
    """Find the highest peaks of the overlap-normalised correlation of two frames.

    Parameters
    ----------
    first, second : ndarray of shape (H, W), float32
        Frames as :func:`weigh_frequencies` returns them.
    rotations : ndarray of shape (n_rotations,)
        Rotations to try, in radians.
    max_drift : float
        Largest drift along each axis, as a share of the frame's side.
    n_peaks : int
        Maximum number of peaks.
    shares : sequence of two ndarray of shape (H, W), float32, optional
        Factors of the pixels of either frame, 0 where it holds no data.
    disc : ((float, float), float), optional
        Centre and radius in px of a disc in which the drift lies.
    scales : sequence of float, default=(1.0,)
        Magnifications to try.

    Returns
    -------
    list of Peak
        The peaks, the highest first.
    """
    shape = (first.shape[0], first.shape[1])
    # Padding to twice the side avoids wrap-around.
    padded = tuple(fft.next_fast_len(2 * side, real=True) for side in shape)
    lags = [np.rint(fft.fftfreq(n, 1 / n)).astype(int) for n in padded]
    near = [
        np.flatnonzero(np.abs(lag) <= max_drift * n) for lag, n in zip(lags, shape, strict=True)
    ]
    near = [index[np.argsort(lag[index])] for index, lag in zip(near, lags, strict=True)]
    drifts = [lag[index] for lag, index in zip(lags, near, strict=True)]
    if shares is None:
        sides = (1 - np.abs(d) / n for d, n in zip(drifts, shape, strict=True))
        overlap = np.multiply.outer(*sides)
    else:
        spectra = [fft.rfft2(np.square(share), padded, workers=-1) for share in shares]
        overlap = fft.irfft2(spectra[1] * spectra[0].conj(), padded, workers=-1)[np.ix_(*near)]
        overlap = overlap / np.float32(np.prod(shape))
        overlap[overlap < _MIN_OVERLAP] = np.inf
    # The noise of a sum over the overlap grows with the root of its area.
    normalise = (1 / np.sqrt(overlap)).astype(np.float32)

    inner = _window(shape, border(shape))
    first, second = first * inner, second * inner
    transformed = fft.rfft2(second, padded)
    highest = np.full(normalise.shape, -np.inf, dtype=np.float32)
    which = np.zeros(normalise.shape, dtype=int)
    power, lowest = 0.0, 0.0
    turns = [
        Motion.from_parameters(shape, rotation=rotation, scale=scale, stretch=scale - 1)
        for scale in scales
        for rotation in rotations
    ]
    for index, turn in enumerate(turns):
        moves = not np.array_equal(turn.matrix, np.eye(2))
        turned = warp(first, turn, fill=0.0, order=1) if moves else first
        product = transformed * fft.rfft2(turned, padded).conj()
        surface = fft.irfft2(product, padded)[np.ix_(*near)] * normalise
        power += float(np.mean(surface**2, dtype=np.float64))
        lowest = min(lowest, float(surface.min()))
        better = surface > highest
        highest[better] = surface[better]
        which[better] = index
    if power == 0:
        return []
    rms = float(np.sqrt(power / len(turns)))
    highest /= np.float32(rms)

    is_peak = highest == ndimage.maximum_filter(highest, size=2 * int(SEPARATION) + 1)
    top_beyond = 0.0
    if disc is not None:
        # Heights stay relative to the whole range, where most drifts are wrong.
        away = [d - centre for d, centre in zip(drifts, disc[0], strict=True)]
        near_enough = np.hypot(*np.meshgrid(*away, indexing="ij")) <= disc[1]
        top_beyond = float(highest[is_peak & ~near_enough].max(initial=0.0))
        is_peak &= near_enough
    rows, columns = np.nonzero(is_peak & (highest > 0))
    order = np.argsort(-highest[rows, columns], kind="stable")[:n_peaks]
    return [
        Peak(
            Motion(
                shape,
                np.array(
                    [
                        drifts[0][y] + _vertex(highest[:, x], y),
                        drifts[1][x] + _vertex(highest[y], x),
                    ]
                ),
                turns[which[y, x]].matrix,
            ),
            float(highest[y, x]),
            top_beyond / float(highest[y, x]),
            -lowest / rms,
        )
        for y, x in zip(rows[order], columns[order], strict=True)
    ]


def _vertex(values: Float32Array, index: int) -> float:
    """Return the offset from ``index`` of the vertex of a parabola through three values."""
    if not 0 < index < len(values) - 1:
        return 0.0
    before, middle, after = (float(v) for v in values[index - 1 : index + 2])
    curvature = before - 2 * middle + after
    return 0.5 * (before - after) / curvature if curvature < 0 else 0.0


def _window(shape: tuple[int, ...], rim: Sequence[int]) -> Float32Array:
    """Return a window that rises from 0 at the border to 1 within ``rim``, as a squared sine."""
    sides = []
    for side, width in zip(shape, rim, strict=True):
        depth = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
        sides.append(np.sin(np.pi / 2 * np.minimum(depth / width, 1)) ** 2)
    return np.multiply.outer(*sides).astype(np.float32)
