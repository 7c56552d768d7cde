"""Run the ``stemkit`` command as ``python -m stemkit``."""

from .cli import main

if __name__ == "__main__":
    main()
