"""Small pictures of frames for notebooks."""

from __future__ import annotations

import base64
import html
import math

import numpy as np
from numpy.typing import NDArray

SIDE = 160


def thumbnail_step(shape: tuple[int, ...]) -> int:
    """Return the step in px by which frames (H, W) are reduced to thumbnails."""
    return max(1, math.ceil(max(shape) / SIDE))


def to_grey(frame: NDArray) -> NDArray[np.uint8]:
    """Return grey levels 0 to 255 from the 1st to the 99th percentile; NaN is black."""
    values = np.asarray(frame, dtype=float)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
    scaled = (values - low) / ((high - low) or 1.0)
    return (255 * np.clip(np.nan_to_num(scaled), 0, 1)).astype(np.uint8)


def to_img(pixels: NDArray[np.uint8], alt: str) -> str:
    """Return grey (H, W) or coloured (H, W, 3) pixels as an HTML image."""
    import imageio.v3 as iio

    png = base64.b64encode(iio.imwrite("<bytes>", pixels, extension=".png")).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{png}">'
