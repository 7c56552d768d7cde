"""What a frame of any size takes, and what its tiles' seams cost, with the shipped network."""

from __future__ import annotations

import multiprocessing
import re
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemkit import SCGNDenoiser
from stemkit.datasets import make_nucleation

TEST_SEED = 40_000
# Frames of 544 px are done in tiles of 288 that meet about their middle; a tile about that middle
# has its own outside all seams.
SIDE, TILE = 544, 288
MIDDLE = slice((SIDE - TILE) // 2, (SIDE + TILE) // 2)


def large_frame(height: int, width: int) -> dict[str, object]:
    """Denoise a frame in a process of its own, that it is handed by another one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frame.npy"
        in_own_process(_make, file, height, width)
        took, peak = in_own_process(_denoise, file)
    return {"what": f"a frame of {height} x {width}", "CPU s": took, "GiB": peak}


def seams(n_frames: int) -> dict[str, float]:
    """Compare errors where tiles meet with those of the same pixels amid a tile.

    Another tile has another spectrum: what one pass makes of the whole frame differs from what
    tiles make of it everywhere, and so do tiles that overlap. Hence both are told: how far that
    difference is below the network's error, and how much larger the error is at the seams.
    """
    model = SCGNDenoiser(weights="default", device="cpu")
    test = make_nucleation(n_frames, (SIDE, SIDE), random_state=TEST_SEED)
    tiled = model.transform(test.noisy)
    amid = model.transform(test.noisy[:, MIDDLE, MIDDLE])
    whole = model.set_params(tile_size=SIDE).transform(test.noisy)

    own, difference = _error(whole, test.target), _error(tiled, whole)
    target, tiled = test.target[:, MIDDLE, MIDDLE], tiled[:, MIDDLE, MIDDLE]
    near = abs(np.arange(TILE) - (TILE - 1) / 2) < 8
    inside = abs(np.arange(TILE) - (TILE - 1) / 2) < TILE / 2 - 40
    cross = near[:, None] & inside | inside[:, None] & near
    at_seams, without = (_error(found[:, cross], target[:, cross]) for found in (tiled, amid))
    return {
        "frames": n_frames,
        "tiles against one pass, dB below the error": 10 * np.log10(own / difference),
        "error at the seams, over that amid a tile": at_seams / without,
    }


def _error(found: NDArray, target: NDArray) -> float:
    return float(((found.astype(float) - target) ** 2).mean())


def peak_gib() -> float:
    """Say what this process took at its peak; `resource` would count its parent's too."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s*(\d+)", status)
    assert found
    return int(found[1]) / 2**20


def _make(file: Path, height: int, width: int) -> None:
    np.save(file, make_nucleation(1, (height, width), random_state=TEST_SEED).noisy)


def _denoise(file: Path) -> tuple[float, float]:
    frame = np.load(file)
    start = time.process_time()
    denoised = SCGNDenoiser(weights="default", device="cpu").transform(frame)
    assert denoised.shape == frame.shape
    assert np.isfinite(denoised).all()
    return time.process_time() - start, peak_gib()


def in_own_process(function: Any, *arguments: Any) -> Any:
    """Call a function in a fresh process."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(function, *arguments).result()
