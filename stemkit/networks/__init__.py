"""Torch modules, one architecture a file; they know nothing of estimators."""

from stemkit.networks.degradation import DegradationNet

__all__ = ["DegradationNet"]
