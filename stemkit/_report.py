"""Write the results of a series as files: a table, stacks and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from ._validation import Float32Array
from .io import FrameStack, write_stack

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.utils import Bunch

    from .drift import DriftDecayModel

_DPI = 150
_COMPARED = ("dy", "dx", "rotation_deg", "shear", "mean_damage")


def write_report(
    folder: Path,
    model: DriftDecayModel,
    frames: Float32Array,
    *,
    names: Sequence[str] | None = None,
    pixel_size: float | None = None,
    truth: pd.DataFrame | None = None,
    quiet: bool = False,
) -> pd.DataFrame:
    """Analyze a series with a fitted model and write the results.

    Writes ``trajectory.csv``, ``aligned.tif``, ``decay.tif``, ``average.tif`` (0 where no frame
    holds data), ``average_coverage.tif`` (the number of frames that show a pixel),
    ``trajectory.png``, ``average.png`` and for each frame but the first ``frame_0001.png`` and so
    on.

    Parameters
    ----------
    folder : Path
        An existing folder.
    model : DriftDecayModel
        Fitted.
    frames : ndarray of shape (n_frames, H, W), float32
        The series.
    names : sequence of str, optional
        Name of each frame, for a column of the table.
    pixel_size : float, optional
        Length of a pixel in nm.
    truth : DataFrame, optional
        True trajectory, drawn for comparison.
    quiet : bool, default=False
        Whether to hide progress.

    Returns
    -------
    DataFrame
        The trajectory.
    """
    from matplotlib.figure import Figure

    from .inspection import AverageDisplay, DriftDecayDisplay, TrajectoryDisplay
    from .registration import motions_from_table

    analysis = model.analyze(FrameStack(frames, pixel_size))
    table, decay = analysis
    write_stack(
        folder / "aligned.tif", model.transform(frames, trajectory=table), pixel_size=pixel_size
    )
    write_stack(folder / "decay.tif", decay, pixel_size=pixel_size)
    average = model.average(FrameStack(frames, pixel_size), trajectory=table)
    images = {
        "average.tif": average.mean.filled(0),
        "average_coverage.tif": average.coverage.astype(np.uint16),
    }
    for name, image in images.items():
        write_stack(folder / name, image[np.newaxis], pixel_size=pixel_size)

    # Figures are made without pyplot: no window, and nothing that stays in memory.
    figure = Figure(figsize=(8.6, 3.8), layout="constrained")
    TrajectoryDisplay(table, truth=truth).plot(figure.subplots(1, 2))
    figure.savefig(folder / "trajectory.png", dpi=_DPI)
    overview = AverageDisplay(average)
    figure = Figure(figsize=overview.figure_size, layout="constrained")
    overview.plot(figure.subplots(1, 3))
    figure.savefig(folder / "average.png", dpi=_DPI)
    labels = names or [f"frame {index}" for index in range(len(frames))]
    motions = motions_from_table(table, frames.shape[1:])
    for index in tqdm(range(1, len(frames)), desc="figures", unit="frame", disable=quiet):
        display = DriftDecayDisplay(
            frames[[0, index]],
            motions[index],
            1 - decay[index],
            table["confidence"].iloc[index],
            pixel_size=pixel_size,
            stderr=None if analysis.decay_stderr is None else analysis.decay_stderr[index],
        )
        figure = Figure(figsize=display.figure_size, layout="constrained")
        # The panels are titled first and second, whatever the index of the frame.
        figure.suptitle(f"first: {labels[0]}\nsecond: {labels[index]}", fontsize="medium")
        display.plot(figure.subplots(2, 2))
        figure.savefig(folder / f"frame_{index:04d}.png", dpi=_DPI)

    if names is not None:
        table.insert(0, "name", list(names))
    table.to_csv(folder / "trajectory.csv")
    return table


def true_trajectory(series: Bunch) -> pd.DataFrame:
    """Return the truth of a simulated series in the columns of a trajectory."""
    import pandas as pd

    from .damage import mean_over_specimen

    # Weighted as the estimate is, so that the two can be compared.
    damage = [mean_over_specimen(series.frames[0], 1 - decay) for decay in series.decay]
    return pd.DataFrame(
        {
            "dy": series.drift[:, 0],
            "dx": series.drift[:, 1],
            "rotation_deg": np.rad2deg(series.rotation),
            "shear": series.shear,
            "mean_damage": damage,
        },
        index=pd.RangeIndex(len(series.frames), name="frame"),
    )


def compare_with_truth(estimate: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return a table with estimate, truth and error of every quantity side by side."""
    import pandas as pd

    columns = {}
    for name in _COMPARED:
        columns[name, "estimate"] = estimate[name]
        columns[name, "truth"] = truth[name]
        columns[name, "error"] = estimate[name] - truth[name]
    return pd.DataFrame(columns)
