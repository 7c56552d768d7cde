"""Products of the frames of a series with each other, by band of spatial frequency and by tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from .._frame_statistics import noise_level
from .._missing import Mask
from .._motion import Motion
from .._validation import Float32Array
from ..registration._canvas import choose_canvas, source_of

# Centres of the bands in cycles per px. Slower changes are film and thickness; faster ones are
# attenuated by interpolation.
FREQUENCY = np.geomspace(0.04, 0.32, 8)
# Order of the splines that interpolate: up to 0.32 cycles per px they leave 99 % of structure.
_ORDER = 5
# Least side of a tile in px, the largest number of tiles along a side, and the least side of what
# all frames show.
_TILE, _MOST_TILES = 24, 5
MIN_SIDE = 2 * _TILE


def align_common(
    frames: Float32Array, motions: Sequence[Motion], missing: Mask | None = None
) -> tuple[Float32Array, NDArray[np.bool_]] | None:
    """Return what all frames show, aligned to the first, and where all hold data.

    The arrays have the shapes (n_frames, h, w) and (h, w). None if all frames show less than 48 px
    along a side.
    """
    try:
        canvas = choose_canvas(motions, "common")
    except ValueError:  # nothing is common to all
        return None
    if min(canvas.shape) < MIN_SIDE:
        return None
    aligned = np.empty((len(frames), *canvas.shape), np.float32)
    holds = np.ones(canvas.shape, dtype=bool)
    for index, (frame, motion) in enumerate(zip(frames, motions, strict=True)):
        source = source_of(motion, canvas, canvas.whole())
        aligned[index] = source.sample(frame, order=_ORDER)
        if missing is not None and missing[index].any():
            holds &= source.holds_data(missing[index])
    return aligned, holds


def band_filters(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the transfer functions (n_bands, H, W) of the bands for cosine transforms.

    They are triangles over the logarithm of the frequency, around `FREQUENCY`.
    """
    rows, columns = (np.arange(side) / (2 * side) for side in shape)
    frequency = np.hypot(rows[:, None], columns)
    step = np.log(FREQUENCY[1] / FREQUENCY[0])
    with np.errstate(divide="ignore"):
        distance = np.log(frequency[None] / FREQUENCY[:, None, None]) / step
    return np.clip(1 - np.abs(distance), 0, 1).astype(np.float32)


def tile_products(aligned: Float32Array, holds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the sums of products (n_tiles, n_bands, n_frames, n_frames) over each tile."""
    shape = (aligned.shape[1], aligned.shape[2])
    counts = [int(np.clip(side // _TILE, 1, _MOST_TILES)) for side in shape]
    tiles = [
        (slice(*rows), slice(*columns))
        for rows in _cuts(shape[0], counts[0])
        for columns in _cuts(shape[1], counts[1])
    ]
    spectra = np.stack([fft.dctn(frame - frame.mean(), norm="ortho") for frame in aligned])
    products = np.empty((len(tiles), len(FREQUENCY), len(aligned), len(aligned)))
    for band, transfer in enumerate(band_filters(shape)):
        filtered = [fft.idctn(spectrum * transfer, norm="ortho") * holds for spectrum in spectra]
        for index, (rows, columns) in enumerate(tiles):
            part = np.stack([one[rows, columns].ravel() for one in filtered]).astype(float)
            products[index, band] = part @ part.T
    return products


def noise_products(
    frame: Float32Array, holds: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what a frame's white noise is in each band, and in how many independent numbers.

    The first is the expected product of the noise with itself, over all pixels.
    """
    gain = band_filters((frame.shape[0], frame.shape[1])).astype(float) ** 2
    sums = gain.sum(axis=(1, 2)), np.maximum((gain**2).sum(axis=(1, 2)), 1e-30)
    share = float(holds.mean())
    return noise_level(frame) ** 2 * sums[0] * share, np.maximum(sums[0] ** 2 / sums[1] * share, 1)


def dependence_of_tiles(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return by how much errors from the scatter of tiles are too small in each band.

    Products are alike over about a period, so that neighbouring tiles are not independent.
    """
    sides = [side / np.clip(side // _TILE, 1, _MOST_TILES) for side in shape]
    return np.sqrt(1 + 1 / (FREQUENCY * float(np.mean(sides))))


def _cuts(side: int, count: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, side, count + 1).astype(int)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
