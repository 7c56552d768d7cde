"""Let tools that still call ``setup.py`` find the project; all settings are in pyproject.toml."""

from setuptools import setup

setup()
