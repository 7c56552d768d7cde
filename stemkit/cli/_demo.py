"""``stemkit demo``: a simulated series, and the estimate next to the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ._messages import short_messages
from ._options import Debug, Device, Out, Quiet, Seed
from ._results import make_model, make_record, print_table


def demo(
    out: Out = Path("demo_output"),
    frames: Annotated[int, typer.Option(min=2, help="Number of frames to simulate.")] = 5,
    size: Annotated[int, typer.Option(min=64, help="Side of a frame in px.")] = 512,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate a series of the garnet LLZO and compare the estimate with the truth.

    Writes what `stemkit drift` writes, the simulated frames.tif, the truth.csv and demo.png.
    """
    options: dict[str, Any] = {"device": device, "random_state": seed}
    with short_messages(debug=debug):
        from .._output import whole_folder

        record = make_record("demo", options, frames=frames, size=size)
        with whole_folder(out, **record) as folder:
            from .._demo_figure import draw_demo, save_small_png
            from .._report import compare_with_truth, true_trajectory, write_report
            from ..datasets import make_llzo_series
            from ..io import read_stack, write_stack

            series = make_llzo_series(frames, shape=(size, size), random_state=seed)
            write_stack(folder / "frames.tif", series.frames, pixel_size=series.pixel_size)
            truth = true_trajectory(series)
            truth.to_csv(folder / "truth.csv")
            # The shipped weights as they are: training on these frames would take most of the time.
            model = make_model(options, epochs=0, quiet=quiet).fit(series.frames)
            table = write_report(
                folder,
                model,
                series.frames,
                pixel_size=series.pixel_size,
                truth=truth,
                quiet=quiet,
            )
            decay = read_stack(folder / "decay.tif").frames
            save_small_png(draw_demo(series, decay, table), folder / "demo.png")
    print_table(compare_with_truth(table, truth))
    typer.echo(f"results are in {out}", err=True)
