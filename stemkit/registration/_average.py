"""The average of a series of frames that moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import as_array
from .._constraints import Interval, check_arguments, shorten
from .._constraints import Sequence as SequenceOf
from .._motion import Motion
from .._validation import Float32Array, check_frame, check_stack_shape
from ..io._frame_stack import PixelSize
from ._average_noise import (
    ORDER,
    Differences,
    Sampled,
    interpolation_transfer,
    mean_gain,
    noise_gain,
    relative_noise,
)
from ._averaged_series import AveragedSeries
from ._bands import band_shares, split_bands
from ._canvas import (
    CANVAS,
    Canvas,
    CanvasKind,
    Source,
    Window,
    check_memory,
    choose_canvas,
    source_of,
    warn_of_unseen,
)
from ._half_agreement import correlate_halves

_PIXEL_SIDE = Interval(float, 0, None, closed="neither", unit="nm")
# Sums of a canvas that are held at once, and further ones for each band.
_N_SUMS, _N_SUMS_OF_BAND = 24, 8


@check_arguments(
    motions=[SequenceOf(Motion)],
    canvas=CANVAS,
    weights=["array-like", None],
    band_weights=["array-like", None],
    pixel_size=[_PIXEL_SIDE, SequenceOf(_PIXEL_SIDE, 2), None],
)
def average(
    frames: ArrayLike,
    motions: Sequence[Motion],
    *,
    canvas: CanvasKind = "first",
    weights: ArrayLike | None = None,
    band_weights: ArrayLike | None = None,
    pixel_size: PixelSize | None = None,
) -> AveragedSeries:
    r"""Average the frames of a series at the pixels of the first, each where it holds data.

    Frames are interpolated one by one, once each, so that the memory does not grow with their
    number, and `frames` may stay in a file as a memory map or a dask array.

    Parameters
    ----------
    frames : array-like of shape (n_frames, H, W)
        The series.
    motions : sequence of Motion
        From the first frame to each.
    canvas : {"first", "union", "common"}, default="first"
        Pixels of the average: those of the first frame, of all frames, or the largest rectangle
        that all frames show.
    weights : array-like of shape (n_frames,) or (n_frames, H, W), optional
        Weight of each frame, or of each of its pixels, 0 or more. Pixels of weight 0 are no data.
        All frames have the same weight by default.
    band_weights : array-like of shape (n_frames, n_bands), optional
        Factor of the weights by spatial frequency, at equally spaced frequencies from 0 to 0.5
        cycles per px, and linear in between. For frames that lose their fine structure: weights
        in proportion to what is left of it give the best signal over noise at each frequency, as
        cryo-EM weighs by dose [1]_.
    pixel_size : float or (float, float), optional
        Length of a pixel in nm, (y, x) of oblong ones.

    Returns
    -------
    AveragedSeries
        Mean, standard error, coverage, Fourier ring correlation of the halves, and resolution.

    Raises
    ------
    InvalidParameterError
        If an argument is not one of those listed.
    MemoryError
        If the canvas is too large, as after a wrong drift.
    ValueError
        If frames are not finite, or arguments differ in number or shape, or no pixel is common to
        all frames.

    Warns
    -----
    OutOfViewWarning
        If frames show nothing of the first frame's view.
    ResolutionWarning
        If the resolution is not determined.

    See Also
    --------
    align_stack : The aligned frames.

    Notes
    -----
    The mean of a pixel is :math:`\sum_i w_i y_i / \sum_i w_i` over the frames that show it. With
    factors :math:`b_i` of a frequency it is :math:`\sum_i b_i w_i y_i / \sum_i w_i` over the root
    of :math:`\sum_i b_i^2 w_i^2 / \sum_i w_i^2`, which leaves noise as it is in the plain mean, and
    signal that fades as :math:`b_i` at its root mean square over the frames.

    The standard error comes from the differences of consecutive frames, which slow changes, as by
    damage, hardly affect. Pixels of similar intensity are taken together, as are neighbours, so
    that it is good for two frames already. What interpolation does to the noise is accounted for.
    Errors that all frames share, as a wrong reference, are not in it.

    For the resolution see :func:`stemkit.metrics.fourier_ring_correlation`: the halves are the
    averages of the frames 0, 3, 5, 6, 9, ... and 1, 2, 4, 7, 8, ..., between which slow changes
    are balanced. They are tapered at the borders of what both show, and agree above a correlation
    of 1/7, averaged over three rings. Agreement counts if it exceeds 4 standard errors of chance:
    that of successive rings together, or, as of the reflections of a crystal, of a single one.

    References
    ----------
    .. [1] Grant and Grigorieff, "Measuring the optimal exposure for single particle cryo-EM using
       a 2.6 Å reconstruction of rotavirus VP6", eLife 4 (2015) e06980.

    Examples
    --------
    >>> from stemkit.datasets import make_llzo_series
    >>> from stemkit.registration import average
    >>> series = make_llzo_series(4, shape=(64, 64), random_state=0)
    >>> result = average(series.frames, series.motion, canvas="union", pixel_size=0.02)
    >>> int(result.coverage.max()), bool(result.mean.mask.sum() == (result.coverage == 0).sum())
    (4, True)
    """
    n_frames = _count(frames)
    if n_frames != len(motions):
        raise ValueError(
            f"frames holds {n_frames} frames and motions {len(motions)} motions; "
            f"pass one motion for each frame."
        )
    shape = motions[0].shape
    pixel_weights = _check_weights(weights, (n_frames, *shape))
    bands = _check_band_weights(band_weights, n_frames)
    field = choose_canvas(motions, canvas)
    n_maps = _N_SUMS + _N_SUMS_OF_BAND * (bands.shape[1] if bands.shape[1] > 1 else 0)
    check_memory(field, 8.0 * n_maps * field.shape[0] * field.shape[1], canvas)
    if canvas == "first":
        warn_of_unseen(motions, field)
    noise = np.ones(n_frames)
    if weights is not None:
        # Weights are of use if the noise differs, and then the error follows the noise.
        noise = relative_noise(_each(frames, motions), motions)
    sums = _Sums(field, bands)
    for index, frame in enumerate(_each(frames, motions)):
        sums.add(index, frame, motions[index], pixel_weights[index], float(noise[index]))
    return sums.result(pixel_size)


class _Part:
    """Sums over some of the frames, all or one half, at the pixels of a canvas.

    `total` and `power` hold one map for each band: the weighted sum of the frames, and the power
    of white noise in it. `weight` and `square` are those of the pixels' weights alone.
    """

    def __init__(self, n_bands: int, shape: tuple[int, int]) -> None:
        self.total, self.power = np.zeros((n_bands, *shape)), np.zeros((n_bands, *shape))
        self.weight, self.square = np.zeros(shape), np.zeros(shape)

    def add(
        self, window: Window, weight: NDArray, bands: NDArray[np.float64], values: list[NDArray]
    ) -> None:
        """Add the bands of a frame."""
        self.weight[window] += weight
        self.square[window] += weight**2
        for band, (factor, part) in enumerate(zip(bands, values, strict=True)):
            self.total[band][window] += factor * weight * part
            self.power[band][window] += (factor * weight) ** 2

    def __sub__(self, other: _Part) -> _Part:
        rest = _Part(len(self.total), self.weight.shape)
        for name in ("total", "power", "weight", "square"):
            # Rounding errors are left where the other has all frames.
            whole = getattr(self, name)
            left = whole - getattr(other, name)
            setattr(rest, name, np.where(np.abs(left) > 1e-9 * np.abs(whole), left, 0))
        return rest

    def divisor(self, band: int) -> NDArray[np.float64]:
        """Return what the total of a band is divided by: its noise becomes that of a mean."""
        ratio = np.divide(
            self.power[band], self.square, out=np.zeros(self.square.shape), where=self.square > 0
        )
        return self.weight * np.sqrt(ratio)

    def shown(self) -> NDArray[np.bool_]:
        """Return where there is data in all bands."""
        return (self.weight > 0) & np.all(self.power > 0, axis=0)

    def mean(self, shown: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the average, and 0 outside of what is shown."""
        mean = np.zeros(shown.shape)
        for band, total in enumerate(self.total):
            mean += np.divide(total, self.divisor(band), out=np.zeros(shown.shape), where=shown)
        return mean


class _Sums:
    """Sums over the frames of a series at the pixels of a canvas."""

    def __init__(self, canvas: Canvas, bands: NDArray[np.float64]) -> None:
        n_bands = bands.shape[1]
        self.canvas, self.bands = canvas, bands
        self.coverage = np.zeros(canvas.shape, np.int32)
        self.all, self.half = _Part(n_bands, canvas.shape), _Part(n_bands, canvas.shape)
        self.differences = Differences(canvas.shape)
        # Neighbouring bands share frequencies.
        self.pairs = [(band, band) for band in range(n_bands)]
        self.pairs += [(band, band + 1) for band in range(n_bands - 1)]
        self.noise = np.zeros((len(self.pairs), *canvas.shape))
        self.white, self.interpolated = _noise_of_bands(n_bands, self.pairs)

    def add(
        self,
        index: int,
        frame: Float32Array,
        motion: Motion,
        weights: float | NDArray[np.float64],
        noise: float,
    ) -> None:
        """Add a frame, with the weight of it or of its pixels and the variance of its noise."""
        window = self.canvas.window(motion)
        source = source_of(motion, self.canvas, window)
        weight = _sampled_weights(source, weights, motion.shape)
        bands = self.bands[index]
        values = [
            source.sample(part, order=ORDER).astype(float)
            for part in split_bands(frame, len(bands))
        ]
        self.all.add(window, weight, bands, values)
        # The Thue-Morse sequence: 0, 1, 1, 0, 1, 0, 0, 1, ...
        if index.bit_count() % 2 == 0:
            self.half.add(window, weight, bands, values)
        shown = weight > 0
        self.coverage[window] += shown
        gain = noise_gain(source)
        # The more interpolation takes away, the more it takes from high frequencies.
        lost = (1 - gain) / (1 - mean_gain())
        for place, (one, other) in enumerate(self.pairs):
            left = (1 - lost) * self.white[place] + lost * self.interpolated[place]
            self.noise[place][window] += noise * bands[one] * bands[other] * weight**2 * left
        self.differences.add(Sampled(window, np.sum(values, axis=0), shown, gain), noise)

    def result(self, pixel_size: PixelSize | None) -> AveragedSeries:
        """Return the average."""
        shown = self.all.shown()
        mean = self.all.mean(shown)
        share = np.divide(
            self.all.square, self.all.weight**2, out=np.zeros(shown.shape), where=shown
        )
        frame_variance = self.differences.variance(
            mean, shown, float(share[shown].mean()) if shown.any() else 1.0
        )
        known = shown & np.isfinite(frame_variance)
        variance = np.where(known, frame_variance * self._noise_of_mean(shown), 0)
        rest = self.all - self.half
        both = shown & rest.shown() & self.half.shown()
        frc, resolution = correlate_halves(
            (self.half.mean(both), rest.mean(both)), both, pixel_size, n_frames=len(self.bands)
        )
        effective = np.divide(1, share, out=np.zeros(shown.shape), where=shown)
        return AveragedSeries(
            mean=np.ma.MaskedArray(mean.astype(np.float32), ~shown),
            stderr=np.ma.MaskedArray(np.sqrt(np.maximum(variance, 0)).astype(np.float32), ~known),
            coverage=self.coverage,
            n_effective=effective.astype(np.float32),
            frc=frc,
            resolution=resolution,
            pixel_size=pixel_size,
            origin=self.canvas.origin,
        )

    def _noise_of_mean(self, shown: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the variance of the mean in that of a frame's white noise."""
        total = np.zeros(shown.shape)
        for noise, (one, other) in zip(self.noise, self.pairs, strict=True):
            scale = self.all.divisor(one) * self.all.divisor(other)
            twice = 1 if one == other else 2
            total += twice * np.divide(noise, scale, out=np.zeros(shown.shape), where=shown)
        return total


def _noise_of_bands(n_bands: int, pairs: list[tuple[int, int]]) -> tuple[list[float], list[float]]:
    """Return the power that bands share of white noise, before and after interpolation."""
    if n_bands == 1:
        return [1.0], [mean_gain()]
    side = 128
    frequency = np.abs(np.fft.fftfreq(side))
    transfer = interpolation_transfer(side)
    left = np.outer(transfer, transfer)
    shares = band_shares(np.hypot(frequency[:, None], frequency), n_bands)
    products = [shares[one] * shares[other] for one, other in pairs]
    return [float(p.mean()) for p in products], [float((p * left).mean()) for p in products]


def _sampled_weights(
    source: Source, weights: float | NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the weight of each pixel of the window; 0 where the frame holds no data."""
    if not isinstance(weights, np.ndarray):
        return np.where(source.is_inside(shape), float(weights), 0.0)
    # A pixel without data enters all that are interpolated between it and its neighbours.
    held = source.holds_data(weights == 0)
    return np.where(held, source.sample(weights, order=1).astype(float), 0.0)


def _count(frames: Any) -> int:
    """Return the number of frames, after a check of their shape."""
    shape = getattr(frames, "shape", None)
    shape = as_array(frames, "frames").shape if shape is None else tuple(shape)
    check_stack_shape(shape, "frames")
    return int(shape[0])


def _each(frames: Any, motions: Sequence[Motion]) -> Iterator[Float32Array]:
    """Yield the frames one by one, each checked."""
    if not hasattr(frames, "shape"):
        frames = as_array(frames, "frames")
    for index, motion in enumerate(motions):
        frame = check_frame(frames[index], name=f"frames[{index}]")
        if frame.shape != motion.shape:
            raise ValueError(
                f"frames have shape {frame.shape}, but motions are of frames of shape "
                f"{motion.shape}; use Motion.rescaled for frames of another size."
            )
        yield frame


def _check_weights(
    weights: ArrayLike | None, shape: tuple[int, ...]
) -> Sequence[float] | NDArray[np.float64]:
    """Return for each frame its weight or those of its pixels."""
    if weights is None:
        return [1.0] * shape[0]
    array = as_array(weights, "weights")
    if array.shape not in (shape[:1], shape) or array.dtype.kind not in "buif":
        raise ValueError(
            f"weights has shape {array.shape} and dtype {array.dtype}; pass one number for each of "
            f"the {shape[0]} frames, or one for each pixel, of shape {shape}."
        )
    if not (array >= 0).all() or not 0 < float(array.max()) < np.inf:
        raise ValueError(
            f"weights must be finite numbers of at least 0, and not all 0; got {shorten(weights)}."
        )
    return array.tolist() if array.ndim == 1 else array


def _check_band_weights(band_weights: ArrayLike | None, n_frames: int) -> NDArray[np.float64]:
    """Return the weights (n_frames, n_bands), a single band of weight 1 for None."""
    if band_weights is None:
        return np.ones((n_frames, 1))
    array = as_array(band_weights, "band_weights")
    if array.ndim != 2 or len(array) != n_frames or not array.shape[1]:
        raise ValueError(
            f"band_weights has shape {array.shape}; pass (n_frames, n_bands) for {n_frames} frames."
        )
    bands = array.astype(float) if array.dtype.kind in "buif" else np.full((1, 1), np.nan)
    if not ((bands >= 0) & (bands < np.inf)).all() or not (bands.sum(axis=0) > 0).all():
        raise ValueError(
            "band_weights must be finite numbers of at least 0, and not all 0 in any band."
        )
    return bands
