"""The figure of `stemkit demo`: the estimates next to the truth."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .inspection._images import (
    ARROW_COLOR,
    NO_DATA_COLOR,
    grey_levels,
    overlay,
    show_image,
)
from .inspection._scale_bar import add_scale_bar
from .registration import coverage, warp

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from sklearn.utils import Bunch

# Few enough that the picture of a noisy series stays below 100 kB.
_N_COLORS = 96
_DPI = 100


def draw_demo(series: Bunch, decay: NDArray[np.floating], trajectory: pd.DataFrame) -> Figure:
    """Draw the first and the last frame, both aligned, and the damage, estimated and true.

    Parameters
    ----------
    series : Bunch
        As :func:`stemkit.datasets.make_llzo_series` returns it.
    decay : ndarray of shape (n_frames, H, W)
        Estimated share of the first frame's signal that is left.
    trajectory : DataFrame
        Estimated trajectory, one row for each frame.

    Returns
    -------
    Figure
        A row of five panels.
    """
    from matplotlib import colormaps, patheffects
    from matplotlib.figure import Figure

    from .registration._trajectory_table import motions_from_table

    first, last = series.frames[0], series.frames[-1]
    motion = motions_from_table(trajectory, first.shape)[-1]
    back = motion.inverse()
    seen = coverage(back)
    figure = Figure(figsize=(10.2, 2.45), layout="constrained")
    axes = figure.subplots(1, 5)
    levels = dict(zip(("vmin", "vmax"), grey_levels(first, last), strict=True))
    show_image(axes[0], first, "first frame", cmap="gray", **levels)
    if series.pixel_size is not None:
        add_scale_bar(axes[0], series.pixel_size)
    show_image(axes[1], last, f"frame {len(series.frames)}", cmap="gray", **levels)
    center = np.array([(first.shape[1] - 1) / 2, (first.shape[0] - 1) / 2])
    axes[1].annotate(
        "",
        center + motion.drift[::-1],
        center,
        arrowprops={
            "color": ARROW_COLOR,
            "arrowstyle": "-|>",
            "linewidth": 1.5,
            "mutation_scale": 9,
            "shrinkA": 0,
            "shrinkB": 0,
            "path_effects": [patheffects.withStroke(linewidth=3, foreground="black")],
        },
    )
    error = np.hypot(*(motion.drift - series.drift[-1]))
    axes[1].set_xlabel(
        f"drift {np.hypot(*motion.drift):.0f} px, error {error:.2f} px", fontsize="small"
    )
    show_image(axes[2], overlay(first, warp(last, back), seen), "aligned")
    axes[2].set_xlabel("magenta: first, green: last", fontsize="small")
    colors = colormaps["magma"].with_extremes(bad=NO_DATA_COLOR)
    for ax, left, title in (
        (axes[3], decay[-1], "damage, estimated"),
        (axes[4], series.decay[-1], "damage, true"),
    ):
        image = np.ma.masked_array(1 - left, ~seen)
        drawn = show_image(ax, image, title, cmap=colors, vmin=0, vmax=1)
    bar = figure.colorbar(drawn, ax=list(axes[3:]), shrink=0.8, pad=0.015)
    bar.set_label("signal lost", fontsize="small")
    bar.outline.set_visible(False)
    return figure


def save_small_png(figure: Figure, path: Path) -> None:
    """Save a figure with few colors, so that it can be kept in a repository."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    with Image.open(buffer) as image:
        small = image.convert("RGB").quantize(_N_COLORS, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
