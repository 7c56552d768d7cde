"""Train the weights that stemkit ships for SCGNDenoiser, on nucleation frames of all contrasts.

    python tools/train_scgn_weights.py --steps 2500 --seed 0

After an interruption, a second run resumes from the last checkpoint and gives the same weights. A
GPU is used if there is one; ``--blocks 8 --channels 64 --pixels 393216`` is the paper's size. Seeds
other than 0 show the spread of scores: the card of seed 0 lists the scores of all trained seeds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from _provenance import ROOT, provenance

from stemkit import SCGNDenoiser
from stemkit.datasets import NucleationStream, make_nucleation
from stemkit.datasets._nucleation_model import Contrast
from stemkit.engine import pick_device
from stemkit.metrics import atom_iou, psnr, ssim

CONTRASTS: tuple[Contrast, ...] = ("default", "high", "low")
SIDES = (64, 96, 128)
# The crystalline fraction of a frame is anything from none to all.
ORDER = (0.0, 1.0)
VALIDATION_FRAMES = 32
VALIDATION_SEED = 20261
STEPS_PER_EPOCH = 100


class EveryNucleation:
    """Batches that contain each contrast, with a side that changes between batches.

    With a single side, the network would learn the statistics of spectra of that side.
    """

    def __init__(self, pixels: int, device: torch.device) -> None:
        self.streams = [
            [
                NucleationStream(
                    max(1, round(pixels / side**2 / len(CONTRASTS))),
                    (side, side),
                    device=device,
                    contrast=contrast,
                    order=ORDER,
                )
                for contrast in CONTRASTS
            ]
            for side in SIDES
        ]

    def make_batch(self, generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Make a batch (noisy, target)."""
        streams = self.streams[generator.integers(len(SIDES))]
        noisy, target = zip(*(stream.make_batch(generator) for stream in streams), strict=True)
        return torch.cat(noisy), torch.cat(target)


def main(
    output: Annotated[Path, typer.Option(help="Weights to write.")] = ROOT
    / "stemkit/weights/scgn_nuc.safetensors",
    checkpoint_dir: Annotated[Path, typer.Option(help="Where to keep checkpoints.")] = ROOT
    / "build/scgn_nuc",
    steps: int = 2500,
    seed: int = 0,
    blocks: int = 4,
    channels: int = 32,
    pixels: Annotated[int, typer.Option(help="Pixels of a batch, about.")] = 32768,
    lr: float = 2e-3,
    device: str = "auto",
    threads: Annotated[int, typer.Option(help="Threads; 0 for as many as there are.")] = 0,
) -> None:
    """Train, resume from a checkpoint if there is one, and write weights and card."""
    if threads:
        torch.set_num_threads(threads)
    folder = checkpoint_dir / f"seed{seed}"
    model = SCGNDenoiser(
        n_blocks=blocks,
        n_channels=channels,
        max_epochs=steps // STEPS_PER_EPOCH,
        steps_per_epoch=STEPS_PER_EPOCH,
        lr=lr,
        checkpoint_dir=folder,
        device=device,
        random_state=seed,
        verbose=1,
    )
    model.fit(EveryNucleation(pixels, pick_device(device)))
    scores = {contrast: score(model, contrast) for contrast in CONTRASTS}
    (folder / "scores.json").write_text(json.dumps(scores))
    print(json.dumps(scores, indent=2))
    if seed:
        return
    seeds = {
        path.parent.name.removeprefix("seed"): json.loads(path.read_text())
        for path in sorted(checkpoint_dir.glob("seed*/scores.json"))
    }
    model.save_weights(
        output,
        data=f"nucleation frames of contrast {', '.join(CONTRASTS)} in each batch, of "
        f"{', '.join(map(str, SIDES))} px by turns, partly ordered, fresh in every step",
        steps=len(model.history_) * STEPS_PER_EPOCH,
        pixels_of_a_batch=pixels,
        lr=lr,
        loss=model.loss,
        seed=seed,
        **provenance(model.module_),
        validation=f"{VALIDATION_FRAMES} frames of 256 px of each contrast, of another seed: PSNR "
        "in dB, SSIM and IoU, each the mean over the frames",
        seeds=seeds,
    )


def score(model: SCGNDenoiser, contrast: Contrast) -> dict[str, float]:
    """Score a model on frames of one contrast that are in no training set."""
    data = make_nucleation(VALIDATION_FRAMES, contrast=contrast, random_state=VALIDATION_SEED)
    denoised = model.transform(data.noisy)
    return {
        metric.__name__: round(float(np.mean(metric(data.target, denoised))), 4)
        for metric in (psnr, ssim, atom_iou)
    }


if __name__ == "__main__":
    typer.run(main)
