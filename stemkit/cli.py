"""The ``stemkit`` command: drift and damage of a series of frames, from files to files."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__

if TYPE_CHECKING:
    import pandas as pd

    from .drift import DriftDecayModel

_UNITS = (
    "dy, dx and closure in px; mean_damage is the share of the first frame's signal that is lost"
)

# Torch and matplotlib load inside the functions: `stemkit --help` answers at once.

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class MotionChoice(StrEnum):
    """How the specimen may move, as ``DriftDecayModel`` knows it."""

    translation = "translation"
    rigid = "rigid"
    scan = "scan"
    affine = "affine"


class RegistrationChoice(StrEnum):
    """What finds the motion, as ``DriftDecayModel`` knows it."""

    correlation = "correlation"
    network = "network"


Out = Annotated[
    Path,
    typer.Option("-o", "--out", help="Folder for the results; earlier results are replaced."),
]
Motion = Annotated[MotionChoice, typer.Option(help="How the specimen may move between frames.")]
Registration = Annotated[
    RegistrationChoice, typer.Option(help="What finds the motion: correlation, or the network.")
]
Weights = Annotated[
    str, typer.Option(help="Weights of the network: 'default', or a .safetensors file.")
]
Epochs = Annotated[
    int | None,
    typer.Option(min=0, help="Epochs of training on these frames; by default what fit does."),
]
Device = Annotated[str, typer.Option(help="Where to compute: 'auto', 'cpu', 'cuda' and so on.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Debug = Annotated[bool, typer.Option(help="Show the traceback of an error.")]


def main() -> None:
    """Run the command."""
    app(prog_name="stemkit")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"stemkit {__version__}")
        raise typer.Exit


@app.callback()
def _stemkit(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Drift and beam damage in (scanning) transmission electron microscopy series."""


@app.command()
def drift(
    frames: Annotated[
        list[Path],
        typer.Argument(
            metavar="FRAMES...",
            help="Frames in the order of time: png, tif (also of many pages) or npy.",
        ),
    ],
    out: Out,
    pixel_size: Annotated[
        float | None,
        typer.Option(help="Length of a pixel in nm, where the files don't tell it or are wrong."),
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
    """Estimate how the specimen moved and what the beam took, frame by frame.

    Writes to the folder OUT: trajectory.csv (a row a frame), aligned.tif, decay.tif (what is left
    of the first frame's signal) and figures (png).
    """
    options: dict[str, Any] = {
        "motion": motion.value,
        "registration": registration.value,
        "weights": weights,
        "device": device,
        "random_state": seed,
    }
    with _one_sentence_errors(debug=debug), _plain_warnings():
        if pixel_size is not None and not 0 < pixel_size < float("inf"):
            raise ValueError(f"--pixel-size must be a positive number of nm, got {pixel_size}")
        from ._output import whole_folder
        from .io import read_stack

        stack = read_stack(frames)
        if len(stack.frames) < 2:
            raise ValueError(
                "drift is between frames, give at least two: several files, or a tif of many pages"
            )
        size = stack.pixel_size if pixel_size is None else pixel_size
        record = _record("drift", options, frames=stack.names, pixel_size=size)
        with whole_folder(out, **record) as folder:
            from ._report import write_report

            model = _model(options, epochs=epochs, quiet=quiet).fit(stack.frames)
            table = write_report(
                folder, model, stack.frames, names=stack.names, pixel_size=size, quiet=quiet
            )
    _print_table(table)
    typer.echo(f"results are in {out}", err=True)


@app.command()
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

    Writes what `stemkit drift` writes, the simulated frames.tif and the truth.csv.
    """
    options: dict[str, Any] = {"device": device, "random_state": seed}
    with _one_sentence_errors(debug=debug), _plain_warnings():
        from ._output import whole_folder

        record = _record("demo", options, frames=frames, size=size)
        with whole_folder(out, **record) as folder:
            from ._report import compare_with_truth, true_trajectory, write_report
            from .datasets import make_llzo_series
            from .io import write_stack

            series = make_llzo_series(frames, shape=(size, size), random_state=seed)
            write_stack(folder / "frames.tif", series.frames, pixel_size=series.pixel_size)
            truth = true_trajectory(series)
            truth.to_csv(folder / "truth.csv")
            # The shipped weights as they are: training on these frames would take most of the time.
            model = _model(options, epochs=0, quiet=quiet).fit(series.frames)
            table = write_report(
                folder,
                model,
                series.frames,
                pixel_size=series.pixel_size,
                truth=truth,
                quiet=quiet,
            )
    _print_table(compare_with_truth(table, truth))
    typer.echo(f"results are in {out}", err=True)


def _model(options: dict[str, Any], *, epochs: int | None = None, quiet: bool) -> DriftDecayModel:
    from .drift import DriftDecayModel

    if epochs is not None:
        options = options | {"max_epochs": epochs}
    return DriftDecayModel(**options, verbose=0 if quiet else 1)


def _record(command: str, options: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    """Return what is put down beside the results, so that they can be made again."""
    return {"stemkit": __version__, "command": command, **inputs, **options}


def _print_table(table: pd.DataFrame) -> None:
    typer.echo(table.to_string(float_format=lambda value: f"{value:z.3f}"))
    typer.echo(_UNITS, err=True)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show what the library warns of as one line on stderr, and what is for developers not."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning):
            typer.echo(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def _one_sentence_errors(*, debug: bool) -> Iterator[None]:
    """Say on stderr in a sentence what went wrong, and exit with status 2.

    A polite request to end, SIGTERM or a closed terminal, unwinds as Ctrl-C does, so that nothing
    half-written stays behind.
    """
    earlier = {
        number: signal.signal(number, _exit_on_signal)
        for name in ("SIGTERM", "SIGHUP")
        if (number := getattr(signal, name, None)) is not None
    }
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stemkit: stopped, nothing was written", err=True)
        raise typer.Exit(130) from None
    except Exception as error:
        if debug or isinstance(error, typer.Exit):
            raise
        typer.echo(f"stemkit: {_sentence(error)}", err=True)
        raise typer.Exit(2) from error
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _exit_on_signal(number: int, _frame: Any) -> None:
    sys.exit(128 + number)


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory for these frames, crop or bin them"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, ValueError | OSError) and text:
        return text
    # Anything else is a mistake of ours.
    return f"{type(error).__name__}: {text} (this is a bug, --debug shows where)"
