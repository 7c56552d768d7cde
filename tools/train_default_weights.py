"""Train the weights that stemkit ships for DriftDecayModel.

    python tools/train_default_weights.py --steps 400 --seed 0

After an interruption, a second run resumes from the checkpoint and gives the same weights. A GPU is
used if there is one; ``--channels 32 64 128 --side 128`` is the paper's size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from _provenance import ROOT, provenance

from stemkit.damage._decay_estimates import N_ESTIMATES
from stemkit.damage._synthetic_pairs import SPACING
from stemkit.damage._training import VALIDATION_BATCHES, train_network
from stemkit.engine import save_weights
from stemkit.networks.degradation import DegradationNet


def main(
    output: Annotated[Path, typer.Option(help="Weights to write.")] = ROOT
    / "stemkit/weights/drift_decay.safetensors",
    checkpoint_dir: Annotated[Path, typer.Option(help="Folder of the checkpoint.")] = ROOT
    / "build/drift_decay",
    steps: int = 400,
    seed: int = 0,
    channels: tuple[int, int, int] = (8, 16, 32),
    side: int = 96,
    batch_size: int = 8,
    lr: float = 7e-4,
    device: str = "auto",
) -> None:
    """Train, resume from a checkpoint if there is one, and write weights and card."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = DegradationNet(channels=channels, n_evidence=N_ESTIMATES)
    result = train_network(
        module,
        max_steps=steps,
        steps_per_epoch=100,
        batch_size=batch_size,
        side=side,
        lr=lr,
        random_state=seed,
        checkpoint_dir=checkpoint_dir / f"seed{seed}",
        checkpoint_every=50,
        device=device,
        verbose=1,
    )
    assert result.best_epoch is not None  # it is None only without validation
    best = result.history.iloc[result.best_epoch]
    output.parent.mkdir(parents=True, exist_ok=True)
    save_weights(
        module,
        output,
        {
            "network": "DegradationNet",
            "channels": list(channels),
            "n_evidence": N_ESTIMATES,
            "data": f"synthetic pairs of {side} x {side} px, lattice vectors of {SPACING} px, "
            "fresh in every step; a tenth of them drifted, the others aligned to 0.5 px",
            "steps": result.n_steps,
            "batch_size": batch_size,
            "lr": lr,
            "seed": seed,
            **provenance(module),
            "validation": {
                "pairs": f"{VALIDATION_BATCHES * batch_size} of the same kind, other seed",
                "decay_mae": round(float(best["val_decay_mae"]), 4),
                "motion_mae": round(float(best["val_motion_mae"]), 4),
            },
        },
    )
    print(result.history.to_string())


if __name__ == "__main__":
    typer.run(main)
