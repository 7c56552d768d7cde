"""What the figures of frames share: grey levels, overlays and scale bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .._validation import Float32Array, check_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ARROW_COLOR = "#ffb000"
NO_DATA_COLOR = "0.5"
# Share of pixels that may be darker than black, and as many brighter than white.
_CLIPPED = 0.002


def smoothed(frame: Float32Array) -> Float32Array:
    """Average over about as much as one pixel of a printed figure shows."""
    return ndimage.gaussian_filter(frame, max(0.7, max(frame.shape) / 600))


def grey_levels(*frames: Float32Array) -> tuple[float, float]:
    """Return what is black and what is white: robust to noise and to single bright pixels."""
    values = np.concatenate([smoothed(frame).ravel() for frame in frames])
    low, high = np.quantile(values, [_CLIPPED, 1 - _CLIPPED])
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def overlay(first: Float32Array, second: Float32Array, seen: NDArray[np.bool_]) -> NDArray[Any]:
    """Paint the first frame magenta and the second green, so that grey is where they agree.

    Each is brought to a level of its own, place by place: what differs slowly, as thickness or
    damage do, shall not tint the picture. Where ``seen`` is False only the first frame is known.
    """
    magenta, green = (_flattened(frame) for frame in (first, second))
    green = np.where(seen, green, 0)
    return np.stack([magenta, green, magenta], axis=-1)


def _flattened(frame: Float32Array) -> Float32Array:
    """Return a frame as 0..1 whose local mean and contrast are the same everywhere."""
    frame = smoothed(frame)
    scale = max(frame.shape) / 16
    fine = frame - ndimage.gaussian_filter(frame, scale)
    spread = np.sqrt(ndimage.gaussian_filter(fine**2, scale))
    # Noise alone is not blown up to the contrast of the lattice.
    least = max(float(np.median(spread)), float(np.finfo(np.float32).tiny))
    return (0.4 + 0.22 * fine / np.maximum(spread, least)).clip(0, 1)


def check_frame(frame: ArrayLike, name: str, shape: tuple[int, ...] | None = None) -> Float32Array:
    """Return one frame as float32, of a shape if there is one that it has to have."""
    array = np.asarray(frame)
    if array.ndim != 2 or (shape is not None and array.shape != shape):
        due = "(H, W)" if shape is None else f"{shape}, that of noisy"
        raise ValueError(
            f"{name} has shape {array.shape}, but one frame of shape {due} is due; pass one frame "
            f"of the stack, as {name}[0]."
        )
    return check_frames(array[np.newaxis], name=name)[0]


def show_image(ax: Axes, image: NDArray[Any], title: str, **options: Any) -> Any:
    """Show an image without ticks, pixels square, under a title."""
    drawn = ax.imshow(image, **options)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize="medium")
    return drawn


def nice_length(longest: float) -> float:
    """Return the greatest of ..., 0.5, 1, 2, 5, 10, ... that is not above ``longest``."""
    power = 10.0 ** np.floor(np.log10(longest))
    # A hair's breadth of tolerance: 0.2 / 0.1 may come out below 2.
    steps = [step for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9)]
    return float(steps[-1] * power)


def add_scale_bar(ax: Axes, pixel_size: float) -> None:
    """Draw a bar of a round length at the lower left of an image; ``pixel_size`` is in nm."""
    from matplotlib.patches import Rectangle

    height, width = ax.images[0].get_size()
    length = nice_length(width * pixel_size / 3)
    label = f"{length / 1000:g} µm" if length >= 1000 else f"{length:g} nm"
    x, y = 0.05 * width, 0.93 * height
    bar = Rectangle((x, y), length / pixel_size, 0.012 * height, color="white", lw=0)
    # A dark ground keeps bar and label legible on bright lattices.
    ground = Rectangle(
        (0.025 * width, 0.845 * height),
        max(length / pixel_size, 0.13 * width) + 0.05 * width,
        0.125 * height,
        color="black",
        alpha=0.55,
        lw=0,
    )
    ax.add_patch(ground)
    ax.add_patch(bar)
    middle = x + length / pixel_size / 2
    ax.text(middle, y - 0.012 * height, label, color="white", ha="center", va="bottom", fontsize=8)
