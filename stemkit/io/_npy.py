"""Arrays that NumPy saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read(path: Path) -> tuple[NDArray[Any], None]:
    """Read a frame or a stack; npy files have no pixel size."""
    frames = np.load(path, allow_pickle=False)
    return (frames[np.newaxis] if frames.ndim == 2 else frames), None
