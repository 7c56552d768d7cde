"""Where the atoms of a frame are, to a fraction of a pixel, and how far that can be trusted."""

from ._locator import AtomLocator

__all__ = ["AtomLocator"]
