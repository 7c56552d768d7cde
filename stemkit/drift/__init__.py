"""Drift between frames and the decay of their signal."""

from .._motion import Motion, coverage, warp

__all__ = ["Motion", "coverage", "warp"]
