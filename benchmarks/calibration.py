"""Bias, spread, time and memory of the calibration of a camera, with as many frames as the paper.

python benchmarks/calibration.py
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from typing import Annotated

import _options
import _report
import numpy as np
import pandas as pd
import typer

from stemkit.noise import HRTEMNoise

TRUTH = {"gain": 0.03583, "offset": 1.379, "column_sigma": 0.6641}
# Six beam currents from 1 to 2 nA.
INTENSITIES = np.linspace(60, 120, 6)


def record(n_frames: int, side: int, seed: int, *, camera: str) -> Iterator[np.ndarray]:
    """Yield the sequences of an ideal camera, or of one with a fixed pattern and flicker."""
    noise = HRTEMNoise(**TRUTH).fit(np.zeros((1, 1, 1)))
    for index, intensity in enumerate(INTENSITIES):
        rng = np.random.default_rng([seed, index, camera == "real"])
        clean = np.full((side, side), intensity, dtype=np.float32)
        beam = np.ones(n_frames)
        if camera == "real":
            # Pixels differ in sensitivity, and the beam drifts and flickers.
            clean *= rng.normal(1, 0.01, clean.shape).astype(np.float32)
            beam += np.linspace(0, 0.02, n_frames) + rng.normal(0, 0.002, n_frames)
        frames = np.empty((n_frames, side, side), dtype=np.uint8)
        for frame, factor in zip(frames, beam, strict=True):
            noisy = noise.degrade(clean * np.float32(factor), generator=rng)
            frame[:] = np.rint(noisy, out=noisy).clip(0, 255)
        yield frames


def naive(sequences: list[np.ndarray]) -> dict[str, float]:
    """Estimate the parameters without corrections.

    Gain and offset are those of a line through the standard deviations of frames; the sigma of
    columns is the standard deviation of their means.
    """
    means = [frames.mean() for frames in sequences]
    sigmas = [np.mean([frame.std() for frame in frames]) for frames in sequences]
    columns = [np.mean([frame.mean(axis=0).std() for frame in frames]) for frames in sequences]
    gain, offset = np.polyfit(means, sigmas, 1)
    return {"gain": gain, "offset": offset, "column_sigma": np.mean(columns)}


def main(
    seeds: Annotated[int, typer.Option(help="How many cameras to simulate.")] = 20,
    frames: Annotated[int, typer.Option(help="Frames a sequence.")] = 100,
    side: Annotated[int, typer.Option(help="Side of a frame in px.")] = 512,
) -> None:
    """Run all cameras and print the table."""
    rows, costs = [], []
    for camera in ("ideal", "real"):
        for seed in range(seeds):
            sequences = list(record(frames, side, seed, camera=camera))
            start = time.perf_counter()
            noise = HRTEMNoise().fit(sequences)
            costs.append(time.perf_counter() - start)
            rows += [
                {
                    "camera": camera,
                    "parameter": name,
                    "error": getattr(noise, f"{name}_") / truth - 1,
                    "naive": plain / truth - 1,
                    "scaled": (getattr(noise, f"{name}_") - truth)
                    / getattr(noise, f"{name}_stderr_"),
                    "holds": noise.calibration_.holds,
                }
                for (name, truth), plain in zip(
                    TRUTH.items(), naive(sequences).values(), strict=True
                )
            ]
    groups = pd.DataFrame(rows).groupby(["camera", "parameter"], sort=False)
    table = pd.DataFrame(
        {
            "bias, %": 100 * groups["error"].mean(),
            "its standard error, %": 100 * groups["error"].std() / np.sqrt(seeds),
            "spread, %": 100 * groups["error"].std(),
            "largest error, %": 100 * groups["error"].apply(lambda error: error.abs().max()),
            "spread / stderr_": groups["scaled"].apply(lambda scaled: np.sqrt(np.mean(scaled**2))),
            "naive, bias, %": 100 * groups["naive"].mean(),
            "model holds, %": 100 * groups["holds"].mean(),
        }
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    _report.print_table(
        f"Calibration on 6 sequences of {frames} frames of {side} x {side} px, {seeds} seeds",
        table.round(3),
        notes=(
            f"fit: median {np.median(costs):.1f} s, slowest {max(costs):.1f} s; peak memory of the "
            f"process {peak:.2f} GiB, frames included. A real camera has pixels whose sensitivity "
            f"differs by 1 %, and a beam that drifts by 2 % and flickers by 0.2 %."
        ),
    )


if __name__ == "__main__":
    _options.run(main, seeds=2, side=256)
