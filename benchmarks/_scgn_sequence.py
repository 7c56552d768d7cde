"""UDVD, which needs no truth but a series, on a film of nucleation in the benchmark of SCGN."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from _scgn_contenders import TEST_SEED
from _scgn_runs import f1, seconds

from stemkit.datasets import make_nucleation_sequence
from stemkit.denoise import GaussianDenoiser, UDVDDenoiser
from stemkit.metrics import psnr, ssim

SIDE, N_FRAMES = 128, 16
SIGMAS = (0.5, 1.0, 1.5, 2.0, 3.0)


def sequence_table(
    results: Path, n_epochs: int, seeds: list[int], n_channels: int, device: str
) -> pd.DataFrame:
    """Score denoisers that give a clean film, against the clean film.

    All see the noisy film alone; the Gaussian is the one of the best sigma against the truth.
    """
    film = make_nucleation_sequence(N_FRAMES, (SIDE, SIDE), random_state=TEST_SEED)
    rows = {"as recorded": score(film, film.noisy)}
    smooth = {s: GaussianDenoiser(sigma=s).fit(film.noisy).transform(film.noisy) for s in SIGMAS}
    best = max(SIGMAS, key=lambda s: psnr(film.clean, smooth[s]))
    rows[f"Gaussian of {best} px"] = score(film, smooth[best])
    for seed in seeds:
        model = UDVDDenoiser(
            n_channels=n_channels,
            max_epochs=n_epochs,
            batch_size=2,
            tile_size=64,
            checkpoint_dir=results / f"sequence-UDVD-{n_channels}-{n_epochs}-{seed}",
            device=device,
            random_state=seed,
        )
        took = seconds(lambda model=model: model.fit(film.noisy))
        rows[f"UDVD, {model.history_['step'].iloc[-1]} steps, seed {seed}"] = {
            **score(film, model.transform(film.noisy)),
            "parameters": sum(p.numel() for p in model.module_.parameters()),
            "s to learn": took,
        }
    return pd.DataFrame(rows).T


def score(film, denoised) -> dict[str, float]:
    return {
        "PSNR, dB": psnr(film.clean, denoised),
        "SSIM": ssim(film.clean, denoised),
        "F1": f1(film, denoised),
    }
