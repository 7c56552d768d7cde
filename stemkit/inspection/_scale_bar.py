"""Scale bars on images of frames whose pixel size is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._constraints import Constraints, Interval, Sequence, check_value
from ..io._conversion import calibration_of, pixel_sides
from ..io._frame_stack import PixelSize

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHARE = 0.2  # length of a bar as a share of the image's width
_OUTLINE = 3.0  # width in points of the dark outline of the label
_PIXEL_SIDE = Interval(float, 0, None, closed="neither", unit="nm")


def choose_pixel_size(pixel_size: Any, frames: Any) -> PixelSize | None:
    """Return the pixel size that the user passed, or else that which the frames know.

    Raises
    ------
    InvalidParameterError
        If `pixel_size` is neither a positive number, two of them, nor None.
    """
    constraints: Constraints = [_PIXEL_SIDE, None]
    if isinstance(pixel_size, tuple | list | np.ndarray):
        constraints = [Sequence(_PIXEL_SIDE, 2)]
    check_value(pixel_size, "pixel_size", constraints)
    return calibration_of(frames).pixel_size if pixel_size is None else pixel_size


def round_length(length: float) -> float:
    """Return the nearest of ..., 0.5, 1, 2, 5, 10, ..., by ratio."""
    power = 10.0 ** np.floor(np.log10(length))
    steps = power * np.array([1.0, 2.0, 5.0, 10.0])
    return float(steps[np.argmin(abs(np.log(steps / length)))])


def add_scale_bar(ax: Axes, pixel_size: PixelSize) -> None:
    """Draw a bar of a round length at the lower left, and stretch the image if pixels are oblong.

    Bar and label are white with a dark outline, to be legible on any image.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    side_y, side_x = pixel_sides(pixel_size)
    height, width = ax.images[0].get_size()
    length = round_length(_SHARE * width * side_x)
    label = f"{length / 1000:g} µm" if length >= 1000 else f"{length:g} nm"
    x, y = 0.05 * width - 0.5, 0.93 * height - 0.5
    thickness = min(0.018 * max(height, 0.3 * width), 0.05 * height)
    bar = Rectangle((x, y), length / side_x, thickness, fc="white", ec="black", lw=0.8)
    ax.add_patch(bar)
    text = ax.annotate(
        label,
        (x, y),
        xytext=(0, 2),
        textcoords="offset points",
        color="white",
        ha="left",  # in a narrow image, the label is longer than the bar
        va="bottom",
        fontsize=9,
    )
    text.set_path_effects([withStroke(linewidth=_OUTLINE, foreground="black")])
    ax.set_aspect(side_y / side_x)
