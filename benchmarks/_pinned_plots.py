"""Figures 3 and 5 of the paper (metrics against noise level), and examples of frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from _pinned_data import LEVELS, add_noise
from _pinned_peers import bragg, calibrated, noise_sigma
from numpy.typing import NDArray

_METRICS = {
    "PSNR": "PSNR (dB)",
    "SSIM": "SSIM",
    "FSC": "Fourier spectrum cosine",
    "EPI": "edge preservation index",
}
_STYLES = ("-", ":")
_SHOWN_LEVELS = (1, 3, 5)


def draw_metrics(table: pd.DataFrame, materials: Sequence[str], file: Path) -> None:
    """Draw each metric against the noise level, one colour per frame and one style per method."""
    table = table[table["gain"] == "as it is"]
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
    for (metric, label), ax in zip(_METRICS.items(), axes, strict=True):
        for style, (_, of_method) in zip(
            _STYLES, table.groupby("method", sort=False), strict=False
        ):
            means = of_method.groupby(["frame", "level"])[metric].mean().unstack("level")
            for index, name in enumerate(materials):
                ax.plot(LEVELS, means.loc[index], style, color=f"C{index}", marker=".", label=name)
        ax.set(xlabel="noise level", ylabel=label, xticks=LEVELS)
        if metric == "EPI":
            ax.axhline(1, color="0.8", zorder=0)
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].legend(handles[: len(materials)], labels[: len(materials)], fontsize="small")
    names = list(dict.fromkeys(table["method"]))
    figure.suptitle(
        "; ".join(f"{what}: {n}" for what, n in zip(("line", "dots"), names, strict=False))
    )
    figure.savefig(file, dpi=80)
    plt.close(figure)


def draw_frames(
    clean: NDArray, seed: int, models: Mapping[str, Mapping[int, object]], file: Path
) -> None:
    """Draw the middle of one frame at three noise levels, noisy and denoised by each method."""
    index = 4
    columns: list[tuple[str, list[NDArray]]] = [("clean", [clean[index]] * len(_SHOWN_LEVELS))]
    noisy = [add_noise(clean, level, seed)[index] for level in _SHOWN_LEVELS]
    columns.append(("noisy", noisy))
    columns.append(
        (
            "Bragg filter, calibrated",
            [
                calibrated(bragg(frame, noise_sigma(level), 12.0), level)
                for frame, level in zip(noisy, _SHOWN_LEVELS, strict=True)
            ],
        )
    )
    for name, seeds in models.items():
        model = next(iter(seeds.values()))
        columns.append((name, list(model.transform(np.stack(noisy)))))
    size = 2.2
    figure, axes = plt.subplots(
        len(_SHOWN_LEVELS),
        len(columns),
        figsize=(size * len(columns), size * len(_SHOWN_LEVELS)),
        layout="constrained",
        squeeze=False,
    )
    for column, (title, frames) in zip(axes.T, columns, strict=True):
        column[0].set_title(title, fontsize="medium")
        for ax, frame in zip(column, frames, strict=True):
            ax.imshow(frame[64:192, 64:192], cmap="gray", vmin=0, vmax=255)
            ax.set(xticks=[], yticks=[])
    for ax, level in zip(axes[:, 0], _SHOWN_LEVELS, strict=True):
        ax.set_ylabel(f"level {level}")
    figure.savefig(file, dpi=80)
    plt.close(figure)
