"""Images of frames: grey levels and overlays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._validation import Float32Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ARROW_COLOR = "#ffb000"
NO_DATA_COLOR = "0.5"
# Fraction of pixels darker than black, and of pixels brighter than white.
_CLIPPED_FRACTION = 0.002


def smooth_for_print(frame: Float32Array) -> Float32Array:
    """Smooth a frame over about one pixel of a printed figure."""
    return ndimage.gaussian_filter(frame, max(0.7, max(frame.shape) / 600))


def grey_levels(*frames: Float32Array) -> tuple[float, float]:
    """Return the intensities of black and white, robust to noise and to single bright pixels."""
    values = np.concatenate([smooth_for_print(frame).ravel() for frame in frames])
    low, high = np.quantile(values, [_CLIPPED_FRACTION, 1 - _CLIPPED_FRACTION])
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def overlay(first: Float32Array, second: Float32Array, overlap: NDArray[np.bool_]) -> NDArray[Any]:
    """Show the first frame in magenta and the second in green; grey is where they agree.

    Local mean and contrast of both are equalized first, so that slow differences, as those of
    thickness or damage, do not tint the image. Outside `overlap` only the first frame is shown.
    """
    magenta, green = (_equalized(frame) for frame in (first, second))
    green = np.where(overlap, green, 0)
    return np.stack([magenta, green, magenta], axis=-1)


def _equalized(frame: Float32Array) -> Float32Array:
    """Rescale a frame to 0..1 with the same local mean and contrast everywhere."""
    frame = smooth_for_print(frame)
    scale = max(frame.shape) / 16
    fine = frame - ndimage.gaussian_filter(frame, scale)
    spread = np.sqrt(ndimage.gaussian_filter(fine**2, scale))
    # A lower limit, so that regions of noise alone do not get the contrast of the lattice.
    lowest = max(float(np.median(spread)), float(np.finfo(np.float32).tiny))
    return (0.4 + 0.22 * fine / np.maximum(spread, lowest)).clip(0, 1)


def show_image(ax: Axes, image: NDArray[Any], title: str, **options: Any) -> Any:
    """Draw an image with square pixels and a title, without ticks."""
    drawn = ax.imshow(image, **options)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize="medium")
    return drawn


def nice_length(longest: float) -> float:
    """Return the greatest of ..., 0.5, 1, 2, 5, 10, ... that is not above ``longest``."""
    power = 10.0 ** np.floor(np.log10(longest))
    # With a tolerance for rounding: a computed ratio of 2 may be slightly below 2.
    steps = [step for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9)]
    return float(steps[-1] * power)
