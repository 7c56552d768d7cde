"""How well a frame's Fourier spectrum is kept: over all frequencies, and ring by ring."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from ._stacks import Float64Array, Reduction, check_stacks, cosine, reduce_frames


def spectrum_cosine(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    remove_mean: bool = True,
    radial: bool = False,
    reduction: Reduction = "mean",
) -> float | Float64Array | pd.DataFrame:
    r"""Cosine between the magnitude spectra, one value a frame, then averaged; also called `fsc`.

    .. math:: \frac{\sum_k |\hat y(k)|\, |y(k)|}
              {\sqrt{\sum_k |\hat y(k)|^2}\, \sqrt{\sum_k |y(k)|^2}}

    Parameters
    ----------
    y_true : array-like of shape (n_frames, H, W)
        True frames.
    y_pred : array-like of shape (n_frames, H, W)
        Frames to judge.
    sample_weight : array-like of shape (n_frames,), optional
        How much each frame counts in the mean.
    remove_mean : bool, default=True
        Whether to leave out the frequency 0. With it the mean intensity decides nearly alone, and
        a constant frame scores 0.8 and more.
    radial : bool, default=False
        Return :func:`fourier_ring_correlation` instead: it sees phases too, and says at which
        spatial frequency a frame is right.
    reduction : {"mean", "none"}, default="mean"
        The mean over frames, or every frame's own value.

    Returns
    -------
    float, ndarray of shape (n_frames,), or DataFrame
        From 0 to 1, and 1 where the magnitudes are equal up to a factor. 0 where one frame is
        constant, 1 where both are. A table with ``radial=True``.

    Raises
    ------
    ValueError
        Where the stacks do not fit each other.

    Notes
    -----
    This is the "Fourier spectrum consistency" of Awan et al. [1]_, who call it FSC. It is no
    Fourier shell correlation: phases do not count. Their formula, as printed, has the root of one
    sum of products in the denominator, which does not bring it to 0..1; with a root of each sum, as
    here, it is a cosine. scikit-image has no metric of spectra.

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


def fourier_ring_correlation(
    y_true: ArrayLike, y_pred: ArrayLike, *, pixel_size: float | None = None
) -> pd.DataFrame:
    r"""Correlation of the Fourier transforms ring by ring, against spatial frequency.

    .. math:: \mathrm{FRC}(r) = \frac{\mathrm{Re} \sum_{k \in r} \hat y(k)\, y^*(k)}
              {\sqrt{\sum_{k \in r} |\hat y(k)|^2 \sum_{k \in r} |y(k)|^2}}

    Parameters
    ----------
    y_true : array-like of shape (n_frames, H, W)
        True frames; or one of two independent exposures, to see how far they agree.
    y_pred : array-like of shape (n_frames, H, W)
        Frames to judge.
    pixel_size : float, optional
        Length of a pixel, in the unit whose inverse the frequencies shall have; px by default.

    Returns
    -------
    DataFrame
        A row for each ring of each frame, from the lowest frequency but 0 to Nyquist's: `frame`,
        `frequency` (mean of the ring, in cycles per px or unit of length), `correlation` in -1..1
        (0 where a ring is empty of signal), `n_pixels`, and the lines below which a frame is not
        to be believed: `half_bit` [1]_ and `one_seventh` [2]_. A ring is as wide as the lowest
        frequency of the shorter side.

    Raises
    ------
    ValueError
        Where the stacks do not fit each other, or ``pixel_size`` is not positive.

    Notes
    -----
    The half-bit line is taken for the independent pixels of a ring, half of them all, since a
    frame is real. What frames do not repeat at their borders puts a cross through the spectra,
    which correlates: taper them first where this matters. scikit-image has no such metric.

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
    if not 0 < unit < np.inf:
        raise ValueError(f"pixel_size must be positive and finite; got {pixel_size}.")
    ring, frequency = rings(true.shape[1], true.shape[2])
    inside = ring > 0
    ring = ring[inside] - 1
    n_pixels = np.bincount(ring)
    # Rings without a pixel do not occur: each is as wide as the coarser grid.
    root = np.sqrt(n_pixels / 2)
    half_bit = (0.2071 * root + 1.9102) / (1.2071 * root + 0.9102)
    tables = []
    for index, pair in enumerate(zip(true, pred, strict=True)):
        first, second = (fft.fft2(frame.astype(float))[inside] for frame in pair)
        products = np.bincount(ring, weights=(first * second.conj()).real)
        powers = [np.bincount(ring, weights=np.abs(values) ** 2) for values in (first, second)]
        strength = np.sqrt(powers[0] * powers[1])
        tables.append(
            pd.DataFrame(
                {
                    "frame": index,
                    "frequency": np.bincount(ring, weights=frequency[inside]) / n_pixels / unit,
                    "correlation": np.divide(
                        products, strength, out=np.zeros(len(products)), where=strength > 0
                    ),
                    "n_pixels": n_pixels,
                    "half_bit": half_bit,
                    "one_seventh": 1 / 7,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _magnitudes(frame: Float64Array, remove_mean: bool) -> Float64Array:
    # Subtracted before, or the rounding of a large mean is left in every frequency.
    spectrum = np.abs(fft.fft2(frame - frame.mean() if remove_mean else frame))
    if remove_mean:
        spectrum[0, 0] = 0
    return spectrum


def rings(height: int, width: int) -> tuple[NDArray[np.int_], Float64Array]:
    """Return each pixel's ring, 0 for frequency 0 and what is beyond Nyquist, and its frequency."""
    frequency = np.hypot(fft.fftfreq(height)[:, None], fft.fftfreq(width))
    shortest = min(height, width)
    ring = np.rint(frequency * shortest).astype(int)
    ring[ring > shortest // 2] = 0
    return ring, frequency
