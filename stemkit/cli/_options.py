"""Options that several subcommands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class MotionChoice(StrEnum):
    """Kinds of motion of ``DriftDecayModel``."""

    translation = "translation"
    rigid = "rigid"
    scan = "scan"
    affine = "affine"


class RegistrationChoice(StrEnum):
    """Ways of registration of ``DriftDecayModel``."""

    correlation = "correlation"
    network = "network"


Out = Annotated[
    Path,
    typer.Option("-o", "--out", help="Folder for the results; earlier results are replaced."),
]
Motion = Annotated[MotionChoice, typer.Option(help="How the specimen may move between frames.")]
Registration = Annotated[
    RegistrationChoice,
    typer.Option(help="Method that estimates the motion: correlation, or the network."),
]
Weights = Annotated[
    str, typer.Option(help="Weights of the network: 'default', or a .safetensors file.")
]
Epochs = Annotated[
    int | None,
    typer.Option(min=0, help="Epochs of training on these frames; by default those of fit."),
]
Device = Annotated[str, typer.Option(help="Where to compute: 'auto', 'cpu', 'cuda' and so on.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Debug = Annotated[bool, typer.Option(help="Show the traceback of an error.")]
