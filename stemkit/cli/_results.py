"""Functions for all subcommands: the model, the record of a run and the printed table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from .. import __version__

if TYPE_CHECKING:
    import pandas as pd

    from ..drift import DriftDecayModel

UNITS = (
    "dy, dx and closure in px; mean_damage is the share of the first frame's signal that is lost"
)


def make_model(
    options: dict[str, Any], *, epochs: int | None = None, quiet: bool
) -> DriftDecayModel:
    """Return a model with the parameters that the user chose."""
    from ..drift import DriftDecayModel

    if epochs is not None:
        options = options | {"max_epochs": epochs}
    return DriftDecayModel(**options, verbose=0 if quiet else 1)


def make_record(command: str, options: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    """Return the record of a run, which is written next to the results to reproduce them."""
    return {"stemkit": __version__, "command": command, **inputs, **options}


def print_table(table: pd.DataFrame) -> None:
    """Print a table on stdout, and the units of its columns on stderr."""
    typer.echo(table.to_string(float_format=lambda value: f"{value:z.3f}"))
    typer.echo(UNITS, err=True)
