"""Speed and memory of all simulators, and how well a Gaussian filter denoises nucleation frames.

    python benchmarks/data.py

Frames have 256 x 256 px. For comparison, the table includes nucleation frames with positions by
``PoissonDisk`` of SciPy and with a mask by ``noise.pnoise2``, and ``random_noise`` and
``binary_blobs`` of scikit-image.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated, Any

import _options
import _report
import numpy as np
import pandas as pd
import torch
import typer
from joblib import Parallel, delayed
from scipy.ndimage import gaussian_filter
from skimage.data import binary_blobs
from skimage.util import random_noise

from stemkit import datasets
from stemkit.metrics import atom_iou, psnr, ssim
from stemkit.noise import CompositeDegradationNoise, HRTEMNoise, PoissonGaussianNoise, STEMNoise

SIDE = 256
# Sigma of the Gaussian filter in px for each contrast, and the paper's scores of its filter.
FILTERS = {"default": 1.5, "high": 2.0, "low": 1.5}
PAPER = {"psnr, dB": 8.26, "ssim": 0.0207, "iou": 0.0940}


def measure(make: Callable[[], Any], n_frames: int, repeats: int) -> dict[str, float]:
    """Return the least time of several runs, and the peak memory of a separate one."""
    make()
    wall, cpu = [], []
    for _ in range(repeats):
        starts = time.perf_counter(), time.process_time()
        make()
        wall.append(time.perf_counter() - starts[0])
        cpu.append(time.process_time() - starts[1])
    tracemalloc.start()
    make()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "ms a frame": 1e3 * min(wall) / n_frames,
        "CPU ms a frame": 1e3 * min(cpu) / n_frames,
        "frames/s": n_frames / min(wall),
        "peak, MiB": peak / 2**20,
    }


def generators(n: int) -> dict[str, tuple[Callable[[], Any], int]]:
    """Return the generators of clean and noisy frames, with the number of frames of each."""
    stream = datasets.NucleationStream(n, random_state=0)
    crystals = datasets.CrystalStream(HRTEMNoise(), batch_size=n, random_state=0)
    return {
        "make_nucleation": (lambda: datasets.make_nucleation(n, random_state=0), n),
        "make_nucleation, order 0.5": (
            lambda: datasets.make_nucleation(n, order=0.5, random_state=0),
            n,
        ),
        "make_nucleation_sequence": (
            lambda: datasets.make_nucleation_sequence(n, random_state=0),
            n,
        ),
        "NucleationStream, pairs": (lambda: stream.batch(0), n),
        "make_stem_lattice, TEMImageNet-like": (
            lambda: datasets.make_stem_lattice(n, random_state=0),
            n,
        ),
        "make_stem_lattice, SFIN-like": (
            lambda: datasets.make_stem_lattice(n, style="sfin", random_state=0),
            n,
        ),
        "make_crystal_images": (
            lambda: datasets.make_crystal_images("SrTiO3", n, vacancies=0.02, random_state=0),
            n,
        ),
        "CrystalStream, pairs": (lambda: crystals.batch(0), n),
        "make_llzo_series": (
            lambda: datasets.make_llzo_series(n, shape=(SIDE, SIDE), random_state=0),
            n,
        ),
        "make_damage_sequence": (
            lambda: datasets.make_damage_sequence(n_frames=n, dose=10, random_state=0),
            n,
        ),
        "make_drift_pairs, frames": (
            lambda: datasets.make_drift_pairs(n // 2, random_state=0),
            n // 2 * 2,
        ),
    }


def other_libraries(n: int) -> dict[str, tuple[Callable[[], Any], int]]:
    """Return functions for positions and masks that call other packages."""
    few = max(1, n // 8)
    found: dict[str, tuple[Callable[[], Any], int]] = {
        "make_nucleation, positions by scipy PoissonDisk": (
            lambda: datasets.make_nucleation(few, sampler="bridson", random_state=0),
            few,
        ),
        "mask: skimage binary_blobs": (
            lambda: binary_blobs(SIDE, blob_size_fraction=0.2, rng=0),
            1,
        ),
    }
    if find_spec("noise") is None:
        print("The package noise is not installed; its row is left out.")
    else:
        found["make_nucleation, mask by noise.pnoise2"] = (
            lambda: datasets.make_nucleation(n, mask_backend="noise", random_state=0),
            n,
        )
    return found


def simulators(n: int) -> dict[str, tuple[Callable[[], Any], int]]:
    """Return functions that add noise to clean frames, with the number of frames of each."""
    clean = datasets.make_nucleation(n, random_state=0).clean
    found: dict[str, tuple[Callable[[], Any], int]] = {}
    for noise in (
        HRTEMNoise(random_state=0),
        PoissonGaussianNoise(random_state=0),
        STEMNoise(random_state=0),
        CompositeDegradationNoise(random_state=0),
    ):
        found[type(noise).__name__] = (lambda noise=noise: noise.fit_transform(clean), n)
    for mode in ("gaussian", "poisson", "speckle"):
        found[f"skimage random_noise, {mode}"] = (
            lambda mode=mode: random_noise(clean / 255, mode=mode, rng=0),
            n,
        )
    return found


def two_workers(n: int) -> dict[str, float]:
    """Measure the simulation of pairs in two processes of one thread each."""
    streams = [datasets.NucleationStream(n, random_state=seed) for seed in (0, 1)]
    with Parallel(n_jobs=2) as pool:
        pool(delayed(stream.batch)(0) for stream in streams)
        start = time.perf_counter()
        pool(delayed(stream.batch)(1) for stream in streams)
        seconds = time.perf_counter() - start
    return {"ms a frame": 1e3 * seconds / (2 * n), "frames/s": 2 * n / seconds}


def on_gpu(n: int) -> dict[str, float]:
    """Measure the simulation of pairs on the first GPU."""
    stream = datasets.NucleationStream(n, device="cuda", random_state=0)
    stream.batch(0)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for step in range(1, 11):
        stream.batch(step)
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / 10
    return {
        "ms a frame": 1e3 * seconds / n,
        "frames/s": n / seconds,
        "peak, MiB": torch.cuda.max_memory_allocated() / 2**20,
    }


def difficulty(n_frames: int) -> pd.DataFrame:
    """Return the scores of a Gaussian filter on each contrast, with standard errors.

    The first row has the scores of the paper.
    """
    rows = {"the paper's Gaussian filter": PAPER}
    for contrast, sigma in FILTERS.items():
        data = datasets.make_nucleation(n_frames, contrast=contrast, random_state=0)
        filtered = gaussian_filter(data.noisy, (0, sigma, sigma))
        row = {}
        for name, metric in zip(PAPER, (psnr, ssim, atom_iou), strict=True):
            values = metric(data.target, filtered, reduction="none")
            row[name] = values.mean()
            row[f"+- {name}"] = values.std(ddof=1) / np.sqrt(n_frames)
        row["atoms a frame"] = len(data.positions) / n_frames
        rows[f"{contrast}, filter sigma {sigma}"] = row
    return pd.DataFrame(rows).T


def main(
    frames: Annotated[int, typer.Option(help="Frames a run.")] = 16,
    repeats: Annotated[int, typer.Option(help="Runs; the fastest counts.")] = 3,
    filtered: Annotated[int, typer.Option(help="Frames for the Gaussian filter.")] = 100,
) -> None:
    """Run all and print the tables."""
    torch.set_num_threads(1)
    tasks = generators(frames) | other_libraries(frames) | simulators(frames)
    rows = {name: measure(make, n, repeats) for name, (make, n) in tasks.items()}
    rows["NucleationStream, pairs, two processes"] = two_workers(frames)
    if torch.cuda.is_available():
        rows[f"NucleationStream, pairs, {torch.cuda.get_device_name()}"] = on_gpu(frames)
    _report.print_table(
        f"Frames of {SIDE} x {SIDE} px",
        pd.DataFrame(rows).T.round(2),
        notes="One thread, except for the row of two processes. Memory is that of NumPy's arrays, "
        "or of the GPU. If CPU time is far below elapsed time, other processes were running.",
    )
    _report.print_table(
        f"A Gaussian filter on {filtered} nucleation frames", difficulty(filtered).round(4)
    )


if __name__ == "__main__":
    _options.run(main, frames=4, repeats=1, filtered=10)
