"""``stemkit drift``: drift and damage of frames in files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..io._formats import FORMATS
from ._messages import short_messages
from ._options import (
    Debug,
    Device,
    Epochs,
    Motion,
    MotionChoice,
    Out,
    Quiet,
    Registration,
    RegistrationChoice,
    Seed,
    Weights,
)
from ._results import make_model, make_record, print_table

_ENDINGS = ", ".join(ending.removeprefix(".") for ending in FORMATS)


def drift(
    frames: Annotated[
        list[Path],
        typer.Argument(
            metavar="FRAMES...",
            help="Frames in the order of time, or a folder of them, in files that end in "
            f"{_ENDINGS}.",
        ),
    ],
    out: Out,
    pixel_size: Annotated[
        float | None,
        typer.Option(help="Length of a pixel in nm, if the files lack it or hold a wrong one."),
    ] = None,
    signal: Annotated[
        str | None,
        typer.Option(help="Name or number of the detector, for files that hold several."),
    ] = None,
    motion: Motion = MotionChoice.affine,
    registration: Registration = RegistrationChoice.correlation,
    weights: Weights = "default",
    epochs: Epochs = None,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Estimate how the specimen moved and how the beam damaged it, frame by frame.

    Writes to the folder OUT: trajectory.csv (one row per frame), aligned.tif, average.tif (the mean
    of the aligned frames where they hold data; average_coverage.tif counts these), decay.tif (the
    share of the first frame's signal that is left) and figures (png).
    """
    options: dict[str, Any] = {
        "motion": motion.value,
        "registration": registration.value,
        "weights": weights,
        "device": device,
        "random_state": seed,
    }
    with short_messages(debug=debug):
        if pixel_size is not None and not 0 < pixel_size < float("inf"):
            raise ValueError(f"--pixel-size must be a positive number of nm, got {pixel_size}")
        from .._output import whole_folder
        from ..io import read_stack

        number_or_name = int(signal) if signal is not None and signal.isdecimal() else signal
        stack = read_stack(frames, signal=number_or_name)
        if len(stack.frames) < 2:
            raise ValueError(
                "drift needs at least two frames: give several files, or a tif of many pages"
            )
        size = stack.pixel_size if pixel_size is None else pixel_size
        if isinstance(size, tuple):
            raise ValueError(
                f"pixels are {size[0]:.4g} x {size[1]:.4g} nm, but drifts are measured in square "
                "pixels: resample the frames, or pass --pixel-size to ignore the difference"
            )
        record = make_record("drift", options, frames=stack.names, pixel_size=size)
        with whole_folder(out, **record) as folder:
            from .._report import write_report

            model = make_model(options, epochs=epochs, quiet=quiet).fit(stack.frames)
            table = write_report(
                folder, model, stack.frames, names=stack.names, pixel_size=size, quiet=quiet
            )
    print_table(table)
    typer.echo(f"results are in {out}", err=True)
