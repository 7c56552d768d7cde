"""Trainings of the PINNED benchmark. Each resumes from its checkpoint and is kept when done."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from _pinned_data import TrainingStream, papers_pairs

from stemkit import PINNEDDenoiser

SEEDS = (0, 1, 2)
STEMKIT = "PINNED, stemkit"
AS_IN_PAPER = "PINNED, as in the paper"
MSE_ALONE = "MSE alone"
# Weights of the loss that the paper does not give, found by _pinned_tuning.py.
TUNED = {"lambda_tv": 0.01, "lambda_sf": 0.1, "lambda_b": 0.01, "lambda_c": 0.01}
ABLATION = {
    "all terms": TUNED,
    "without TV": {**TUNED, "lambda_tv": 0.0},
    "without SF": {**TUNED, "lambda_sf": 0.0},
    "without B": {**TUNED, "lambda_b": 0.0},
    "without C": {**TUNED, "lambda_c": 0.0},
    MSE_ALONE: dict.fromkeys(TUNED, 0.0),
}
RECIPE = {"n_channels": 8, "n_blocks": 3, "n_evidence": 2, "batch_size": 8, "lr": 4e-3}
_EPOCH = 50


def train(name: str, seed: int, folder: Path, *, steps: int, short_steps: int) -> PINNEDDenoiser:
    """Train one variant, or load it from the folder.

    Parameters
    ----------
    name : str
        `STEMKIT`, `AS_IN_PAPER` or one of `ABLATION`.
    seed : int
        Seed of the initial weights, crystals and noise.
    folder : path
        Folder of weights and checkpoints.
    steps, short_steps : int
        Number of steps of `STEMKIT`, and of each variant of the ablation.
    """
    weights = _file(name, seed, folder)
    if weights.exists():
        return PINNEDDenoiser(weights=weights, normalize="training")
    common = {"random_state": seed, "checkpoint_dir": weights.with_suffix("")}
    started = time.process_time()
    if name == AS_IN_PAPER:
        # A quarter of the default width keeps 500 epochs of five frames affordable.
        model = PINNEDDenoiser(n_channels=8, flip=False, normalize="training", **common).fit(
            *papers_pairs(seed)
        )
    else:
        terms, n = (TUNED, steps) if name == STEMKIT else (ABLATION[name], short_steps)
        model = PINNEDDenoiser(
            **RECIPE, **terms, steps_per_epoch=_EPOCH, max_epochs=n // _EPOCH, **common
        ).fit(TrainingStream())
    last = model.history_.iloc[-1]
    model.save_weights(
        weights,
        seed=seed,
        steps=int(last["step"]),
        train_loss=float(last["train_loss"]),
        train_mse=float(last["train_mse"]),
        cpu_seconds=round(time.process_time() - started),
    )
    return PINNEDDenoiser(weights=weights, normalize="training")


def load_or_train(
    names: Iterable[str], folder: Path, *, only_trained: bool, **options: int
) -> dict[str, dict[int, PINNEDDenoiser]]:
    """Return the variants with all seeds, and train the missing ones unless `only_trained`."""
    return {
        name: {
            seed: train(name, seed, folder, **options)
            for seed in SEEDS
            if not only_trained or _file(name, seed, folder).exists()
        }
        for name in names
    }


def _file(name: str, seed: int, folder: Path) -> Path:
    key = "".join(c if c.isalnum() else "_" for c in f"{name} {seed}")
    return folder / f"{key}.safetensors"
