"""Train the weights shipped for PINNEDDenoiser, "PINNED, stemkit" in benchmarks/pinned.py.

    python tools/train_pinned_weights.py --folder build/pinned

After an interruption, a second run resumes from the last checkpoint and gives the same weights.
Weights that the benchmark has trained in the folder are used.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from _provenance import ROOT, provenance

from stemkit import PINNEDDenoiser
from stemkit.engine import load_card
from stemkit.metrics import psnr, ssim

# The benchmark scores the shipped weights, so both use the same training.
sys.path.insert(0, str(ROOT / "benchmarks"))
from _pinned_data import HELD_OUT, HELD_OUT_AXES, LEVELS, TRAINING, degraded, held_out_frames
from _pinned_runs import RECIPE, SEEDS, STEMKIT, TUNED, train

VALIDATION_SEED = 20261


def main(
    output: Annotated[Path, typer.Option(help="Weights to write.")] = ROOT
    / "stemkit/weights/pinned_cdn.safetensors",
    folder: Annotated[Path, typer.Option(help="Where trainings are kept.")] = ROOT / "build/pinned",
    steps: int = 1200,
    seed: int = 0,
    threads: int = 0,
) -> None:
    """Train this seed and those for the spread of scores, and write weights and card."""
    if threads:
        torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    models = {one: train(STEMKIT, one, folder, steps=steps, short_steps=0) for one in SEEDS}
    chosen = models[seed]
    known = load_card(chosen.weights)
    chosen.save_weights(
        output,
        data=f"crystals of CrystalStream, half of {', '.join(TRAINING)} and half made up, by turns "
        f"2 of 256 and 8 of 128 px a side, composite noise of levels {LEVELS[0]} to {LEVELS[-1]}, "
        f"all fresh in every step; never {', '.join(HELD_OUT)}, nor a zone axis of {HELD_OUT_AXES}",
        seed=seed,
        **provenance(chosen._ready_network()),
        batch_size=RECIPE["batch_size"],
        lr=RECIPE["lr"],
        loss=TUNED,
        **{name: known[name] for name in ("steps", "train_loss", "train_mse", "cpu_seconds")},
        validation="mean PSNR in dB and SSIM by level, held-out materials down held-out axes, "
        "12 frames of 256 x 256 px",
        seeds={str(one): scores(model) for one, model in models.items()},
        remark=f"Seed {seed} of {len(SEEDS)}, chosen before any was trained.",
    )


def scores(model: PINNEDDenoiser) -> dict[str, list[float]]:
    """Score a model at each level."""
    clean, _ = held_out_frames(VALIDATION_SEED)
    found: dict[str, list[float]] = {"psnr": [], "ssim": []}
    for level in LEVELS:
        denoised = model.transform(degraded(clean, level, VALIDATION_SEED)).clip(0, 255)
        found["psnr"].append(round(float(np.mean(psnr(clean, denoised))), 2))
        found["ssim"].append(round(float(np.mean(ssim(clean, denoised))), 3))
    return found


if __name__ == "__main__":
    typer.run(main)
