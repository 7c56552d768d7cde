"""The command and the list of its subcommands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from .. import __version__
from ._demo import demo
from ._drift import drift

# Modules of subcommands import torch and matplotlib inside functions: `stemkit --help` is quick.
COMMANDS: list[Callable[..., None]] = [drift, demo]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Run the command."""
    app(prog_name="stemkit")


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"stemkit {__version__}")
        raise typer.Exit


@app.callback()
def _stemkit(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Drift and beam damage in (scanning) transmission electron microscopy series."""
