"""How well a frame's Fourier spectrum is preserved, over all frequencies and ring by ring."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import fft

from .._constraints import check_arguments
from .._fourier_rings import correlate_rings
from ._stacks import (
    PIXEL_SIZE,
    Float64Array,
    Reduction,
    check_stacks,
    cosine,
    reduce_frames,
)


@check_arguments(remove_mean=["boolean"], radial=["boolean"])
def spectrum_cosine(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    remove_mean: bool = True,
    radial: bool = False,
    reduction: Reduction = "mean",
) -> float | Float64Array | pd.DataFrame:
    r"""Compute the cosine of the magnitude spectra of each frame, averaged; also called `fsc`.

    .. math:: \frac{\sum_k |\hat y(k)|\, |y(k)|}
              {\sqrt{\sum_k |\hat y(k)|^2}\, \sqrt{\sum_k |y(k)|^2}}

    Parameters
    ----------
    y_true : array-like of shape (n_frames, H, W)
        True frames.
    y_pred : array-like of shape (n_frames, H, W)
        Frames to score.
    sample_weight : array-like of shape (n_frames,), optional
        Weight of each frame in the mean.
    remove_mean : bool, default=True
        Whether to leave out the frequency 0. Otherwise the mean intensity dominates, and a constant
        frame scores 0.8 and more.
    radial : bool, default=False
        Return :func:`fourier_ring_correlation` instead, which also compares phases and resolves
        spatial frequencies.
    reduction : {"mean", "none"}, default="mean"
        Return the mean over frames, or the value of each frame.

    Returns
    -------
    float, ndarray of shape (n_frames,), or DataFrame
        From 0 to 1, and 1 if the magnitudes are equal up to a factor. 0 if one frame is constant,
        1 if both are. A table with ``radial=True``.

    Raises
    ------
    ValueError
        If the stacks differ in shape or are not finite.

    Notes
    -----
    This is the "Fourier spectrum consistency" of Awan et al. [1]_, who call it FSC. It is not a
    Fourier shell correlation: phases are ignored. Their formula, as printed, has the root of one
    sum of products in the denominator, which does not normalise it to 0..1; with a root of each
    sum, as here, it is a cosine. scikit-image has no metric of spectra.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.metrics import spectrum_cosine
    >>> true = np.random.default_rng(0).random((2, 32, 32))
    >>> round(spectrum_cosine(true, 2 * true + 7), 6), round(spectrum_cosine(true, true * 0), 6)
    (1.0, 0.0)
    """
    if radial:
        return fourier_ring_correlation(y_true, y_pred)
    true, pred = check_stacks(y_true, y_pred)

    def one(a: Float64Array, b: Float64Array) -> float:
        return cosine(*(_magnitudes(frame, remove_mean).ravel() for frame in (a, b)))

    return reduce_frames(one, true, pred, sample_weight, reduction)


fsc = spectrum_cosine


@check_arguments(pixel_size=[PIXEL_SIZE, None])
def fourier_ring_correlation(
    y_true: ArrayLike, y_pred: ArrayLike, *, pixel_size: float | None = None
) -> pd.DataFrame:
    r"""Compute the correlation of the Fourier transforms in rings of spatial frequency.

    .. math:: \mathrm{FRC}(r) = \frac{\mathrm{Re} \sum_{k \in r} \hat y(k)\, y^*(k)}
              {\sqrt{\sum_{k \in r} |\hat y(k)|^2 \sum_{k \in r} |y(k)|^2}}

    Parameters
    ----------
    y_true : array-like of shape (n_frames, H, W)
        True frames; or one of two independent exposures, to measure their resolution.
    y_pred : array-like of shape (n_frames, H, W)
        Frames to score.
    pixel_size : float, optional
        Length of a pixel; frequencies are in the inverse of its unit, by default in 1/px.

    Returns
    -------
    DataFrame
        A row for each ring of each frame, from the lowest frequency above 0 to Nyquist's: `frame`,
        `frequency` (mean of the ring, in cycles per px or unit of length), `correlation` in -1..1
        (0 if a ring has no signal), `n_pixels`, and two thresholds of resolution: `half_bit` [1]_
        and `one_seventh` [2]_. A ring is as wide as the lowest frequency of the shorter side.

    Raises
    ------
    ValueError
        If the stacks differ in shape or are not finite, or `pixel_size` is not positive.

    Notes
    -----
    The half-bit threshold is that for the independent pixels of a ring, half of them, since frames
    are real. Frames that are not periodic have a cross in their spectra, which correlates: taper
    the frames first where this matters. scikit-image has no such metric.

    References
    ----------
    .. [1] van Heel and Schatz, "Fourier shell correlation threshold criteria", J. Struct. Biol.
       151 (2005) 250.
    .. [2] Nieuwenhuizen et al., "Measuring image resolution in optical nanoscopy", Nature Methods
       10 (2013) 557.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.metrics import fourier_ring_correlation
    >>> true = np.random.default_rng(0).random((1, 64, 64))
    >>> table = fourier_ring_correlation(true, true, pixel_size=0.02)
    >>> len(table), round(float(table.frequency.max()), 1), bool(table.correlation.min() > 0.999)
    (32, 25.0, True)
    """
    true, pred = check_stacks(y_true, y_pred)
    unit = 1.0 if pixel_size is None else pixel_size
    tables = []
    for index, pair in enumerate(zip(true, pred, strict=True)):
        frequency, correlation, n_pixels = correlate_rings(*pair)
        root = np.sqrt(n_pixels / 2)
        tables.append(
            pd.DataFrame(
                {
                    "frame": index,
                    "frequency": frequency / unit,
                    "correlation": correlation,
                    "n_pixels": n_pixels,
                    "half_bit": (0.2071 * root + 1.9102) / (1.2071 * root + 0.9102),
                    "one_seventh": 1 / 7,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _magnitudes(frame: Float64Array, remove_mean: bool) -> Float64Array:
    # Subtracted before the transform, which would spread the rounding of a large mean.
    spectrum = np.abs(fft.fft2(frame - frame.mean() if remove_mean else frame))
    if remove_mean:
        spectrum[0, 0] = 0
    return spectrum
