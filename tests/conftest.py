"""What all tests share: the environment, and data in a folder next to the repository."""

import os

# SciPy and scikit-learn read these when they are first imported, so they come before anything else.
os.environ["SCIPY_ARRAY_API"] = "1"  # without it scikit-learn skips one of its estimator checks

from pathlib import Path

import pytest
from hypothesis import settings

# Slow machines must not cause failures, and failures must be reproducible.
settings.register_profile("stemkit", deadline=None, derandomize=True)
settings.load_profile("stemkit")

_SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared_folder(name: str) -> Path:
    folder = _SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/{name} beside the repository, which is not there")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real microscope data, which may not be distributed with the project."""
    return _shared_folder("data")


@pytest.fixture(scope="session")
def shared_fixtures() -> Path:
    """Checkpoints in the layouts released by the papers' authors, with their outputs."""
    return _shared_folder("fixtures")
