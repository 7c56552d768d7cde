"""What all tests share: the environment, and the data that lie beside the repository."""

import os

# SciPy and scikit-learn read these when they are first imported, so they come before anything else.
os.environ["SCIPY_ARRAY_API"] = "1"  # without it scikit-learn skips one of its estimator checks

from pathlib import Path

import pytest
from hypothesis import settings

# Slow machines are no failures, and a run that failed must fail again.
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
    """Real microscope data, which may not be shipped with the project."""
    return _shared_folder("data")


@pytest.fixture(scope="session")
def shared_fixtures() -> Path:
    """Checkpoints in the layouts that the papers' authors released, with their outputs."""
    return _shared_folder("fixtures")
