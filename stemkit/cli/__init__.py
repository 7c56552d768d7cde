"""The ``stemkit`` command, one module for each subcommand."""

from ._app import app, main

__all__ = ["app", "main"]
