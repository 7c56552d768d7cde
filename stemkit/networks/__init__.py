"""Torch modules, one architecture a file; they know nothing of estimators."""
