"""Time and memory for large frames, and errors at the seams of tiles, with the shipped SCGN."""

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
# A frame of 544 px is denoised in tiles of 288 px whose seams cross at its middle. A tile centred
# on the middle has no seams there.
SIDE, TILE = 544, 288
MIDDLE = slice((SIDE - TILE) // 2, (SIDE + TILE) // 2)


def large_frame(height: int, width: int) -> dict[str, object]:
    """Measure time and peak memory of denoising a frame.

    The frame is made in one new process and denoised in another.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frame.npy"
        in_own_process(_make, file, height, width)
        took, peak = in_own_process(_denoise, file)
    return {"what": f"a frame of {height} x {width}", "CPU s": took, "GiB": peak}


def seams(n_frames: int) -> dict[str, float]:
    """Compare errors at the seams of tiles with errors of the same pixels inside one tile.

    The result of the network depends on the spectrum of its whole input, so results from tiles
    and from the whole frame differ at every pixel. The first number is the ratio of the error of
    the network to this difference, the second the ratio of the errors at and without seams.
    """
    model = SCGNDenoiser(weights="default", device="cpu")
    test = make_nucleation(n_frames, (SIDE, SIDE), random_state=TEST_SEED)
    tiled = model.transform(test.noisy)
    one_tile = model.transform(test.noisy[:, MIDDLE, MIDDLE])
    whole = model.set_params(tile_size=SIDE).transform(test.noisy)

    error, difference = _error(whole, test.target), _error(tiled, whole)
    target, tiled = test.target[:, MIDDLE, MIDDLE], tiled[:, MIDDLE, MIDDLE]
    near = abs(np.arange(TILE) - (TILE - 1) / 2) < 8
    inside = abs(np.arange(TILE) - (TILE - 1) / 2) < TILE / 2 - 40
    cross = near[:, None] & inside | inside[:, None] & near
    at_seams, without = (_error(found[:, cross], target[:, cross]) for found in (tiled, one_tile))
    return {
        "frames": n_frames,
        "difference of tiles from one pass, dB below the error": 10 * np.log10(error / difference),
        "error at the seams / inside a tile": at_seams / without,
    }


def _error(found: NDArray, target: NDArray) -> float:
    return float(((found.astype(float) - target) ** 2).mean())


def peak_gib() -> float:
    """Return the peak memory of this process; `resource` would include that of its parent."""
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
    """Call a function in a new process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()
