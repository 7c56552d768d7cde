"""The ``stemkit`` command, a subcommand a module."""

from ._app import app, main

__all__ = ["app", "main"]
