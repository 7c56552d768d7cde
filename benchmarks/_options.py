"""Options that benchmarks share: `--quick`, and `--train` for long trainings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

Train = Annotated[
    bool, typer.Option("--train", help="Train the networks that are missing: hours to days.")
]
_Quick = Annotated[
    bool, typer.Option("--quick", help="A small run of a minute or two; its figures are rough.")
]


def run(main: Callable[..., None], **quick: Any) -> None:
    """Run the main function of a script as a command with an option `--quick`.

    Parameters
    ----------
    main : callable
        Its parameters become options.
    **quick : Any
        Defaults of these parameters when `--quick` is given. Values set on the command line take
        precedence.
    """
    typer.run(with_quick(main, **quick))


def with_quick(main: Callable[..., None], **quick: Any) -> Callable[..., None]:
    """Return `main` with a parameter `quick` that changes the defaults of other parameters."""
    signature = inspect.signature(main, eval_str=True)
    defaults = {name: parameter.default for name, parameter in signature.parameters.items()}
    if unknown := quick.keys() - defaults.keys():
        raise TypeError(f"main has no parameter {', '.join(sorted(unknown))}.")

    @functools.wraps(main)
    def command(**options: Any) -> None:
        if options.pop("quick", False):
            for name, value in quick.items():
                if options.get(name, defaults[name]) == defaults[name]:
                    options[name] = value
        main(**options)

    option = inspect.Parameter(
        "quick", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Quick
    )
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in signature.parameters.values()
    ]
    command.__signature__ = signature.replace(parameters=[*parameters, option])
    command.__annotations__ = {
        parameter.name: parameter.annotation for parameter in (*parameters, option)
    }
    del command.__wrapped__  # otherwise typer reads the signature of main
    return command
