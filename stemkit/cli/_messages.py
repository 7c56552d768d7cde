"""Errors and warnings of the library as one line each on stderr."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer


@contextmanager
def short_messages(*, debug: bool) -> Iterator[None]:
    """Show errors in one sentence with exit status 2, and warnings in one line.

    SIGTERM and a closed terminal end the block as Ctrl-C does, so that no incomplete results stay
    behind.
    """
    with _one_sentence_errors(debug=debug), _one_line_warnings():
        yield


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Show warnings for users, and hide those for developers."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning):
            typer.echo(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def _one_sentence_errors(*, debug: bool) -> Iterator[None]:
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
    # Any other error is a bug of stemkit.
    return f"{type(error).__name__}: {text} (this is a bug, --debug shows where)"
