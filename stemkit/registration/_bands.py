"""Bands of spatial frequency, into which frames are split to be weighted by frequency."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import fft


def band_shares(frequency: NDArray[np.float64], n_bands: int) -> NDArray[np.float64]:
    """Return the share of each band at some frequencies; the shares of all bands add up to 1.

    Bands are triangles around equally spaced frequencies from 0 to 0.5 cycles per px, so that
    weights of bands are interpolated linearly between these; all beyond belongs to the last one.

    Parameters
    ----------
    frequency : ndarray
        In cycles per px.
    n_bands : int
        At least 1.

    Returns
    -------
    ndarray of shape (n_bands, *frequency.shape)
    """
    if n_bands == 1:
        return np.ones((1, *frequency.shape))
    place = np.minimum(frequency * 2 * (n_bands - 1), n_bands - 1)
    number = np.arange(n_bands).reshape(-1, *[1] * frequency.ndim)
    return np.clip(1 - np.abs(place - number), 0, 1)


def split_bands(frame: NDArray, n_bands: int) -> Iterator[NDArray]:
    """Yield the bands of a frame, which add up to it; borders are mirrored."""
    if n_bands == 1:
        yield frame
        return
    height, width = frame.shape
    # The k-th cosine has k half periods in the frame.
    rows, columns = np.arange(height)[:, None] / (2 * height), np.arange(width) / (2 * width)
    frequency = np.hypot(rows, columns)
    spectrum = fft.dctn(frame)
    for share in band_shares(frequency, n_bands):
        yield fft.idctn(spectrum * share.astype(spectrum.dtype))
