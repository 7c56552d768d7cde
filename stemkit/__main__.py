"""``python -m stemkit`` does what the ``stemkit`` command does."""

from .cli import main

if __name__ == "__main__":
    main()
