"""UDVD, which trains on a noisy series alone, compared with other denoisers on nucleation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from _scgn_contenders import CLASSICAL, DOT_PEAK, DOT_SIGMA, TEST_SEED
from _scgn_runs import peaks_of, scores, time_of
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.utils import Bunch

from stemkit.datasets import make_nucleation_sequence
from stemkit.denoise import GaussianDenoiser, SCGNDenoiser, UDVDDenoiser
from stemkit.metrics import atom_score, psnr, ssim

SIDE, N_FRAMES = 128, 16
SIGMAS = (0.5, 1.0, 1.5, 2.0, 3.0)
# Sigmas to choose from for the Laplacian of Gaussian that finds atoms.
PEAKS = (0.5, 0.75, 1.15, 1.5)


def sequence_table(
    results: Path, n_epochs: int, seeds: list[int], n_channels: int, device: str
) -> pd.DataFrame:
    """Score denoisers of a series against the clean series and against the target dots.

    The settings of the Gaussian and of the Laplacian of Gaussian are the best against the truth;
    UDVD trains without it. SCGN has the shipped weights and denoises each frame separately.
    """
    series = make_nucleation_sequence(N_FRAMES, (SIDE, SIDE), random_state=TEST_SEED)
    smooth = [GaussianDenoiser(sigma=sigma) for sigma in SIGMAS]
    best = max(smooth, key=lambda model: psnr(series.clean, model.fit_transform(series.noisy)))
    grid = ParameterGrid(CLASSICAL["LoG and render"][1])
    drawn = [clone(CLASSICAL["LoG and render"][0]).set_params(**setting) for setting in grid]
    finder = max(drawn, key=lambda model: psnr(series.target, model.fit_transform(series.noisy)))
    shipped = SCGNDenoiser(weights="default", device=device)
    rows = [
        {"method": "as recorded", **score_series(series, series.noisy)},
        {
            "method": f"Gaussian of {best.sigma} px",
            **score_series(series, best.transform(series.noisy)),
        },
        {"method": "LoG and render", **score_dots(series, finder.transform(series.noisy))},
        {"method": "SCGN as shipped", **score_dots(series, shipped.transform(series.noisy))},
    ]
    folder = results / "sequence"
    folder.mkdir(exist_ok=True)
    for seed in seeds:
        kept = folder / f"UDVD-{n_channels}-{n_epochs}-{seed}.json"
        if not kept.exists():
            kept.write_text(
                json.dumps(train_udvd(series, n_channels, n_epochs, seed, device, kept), indent=1)
            )
        rows.append(json.loads(kept.read_text()))
    table = pd.DataFrame(rows)
    groups = table.groupby("method", sort=False)
    found = groups.mean()
    found.insert(1, "+- dB", groups["PSNR, dB"].std())
    found.insert(0, "seeds", groups.size())
    return found


def train_udvd(
    series: Bunch, n_channels: int, n_epochs: int, seed: int, device: str, kept: Path
) -> dict[str, object]:
    """Train UDVD on the series, from its last checkpoint, and score it."""
    model = UDVDDenoiser(
        n_channels=n_channels,
        max_epochs=n_epochs,
        batch_size=2,
        tile_size=64,
        checkpoint_dir=kept.with_suffix(""),
        lr=3e-3,
        device=device,
        random_state=seed,
        verbose=1,
    )
    took = time_of(lambda: model.fit(series.noisy))
    model.verbose = 0
    denoised: list[NDArray] = []
    per_frame = time_of(lambda: denoised.append(model.transform(series.noisy))) / N_FRAMES
    return {
        "method": f"UDVD, {model.history_['step'].iloc[-1]} steps",
        **score_series(series, denoised[0]),
        "parameters": sum(p.numel() for p in model.module_.parameters()),
        "s to learn": took,  # of the remaining steps, if the run was resumed
        "s a frame": per_frame,
    }


def score_series(series: Bunch, denoised: NDArray) -> dict[str, float]:
    """Score a denoised series, and dots drawn at its peaks, with the sigma of the best score."""
    best: dict[str, float] = {}
    for size in PEAKS:
        found = peaks_of(series, denoised, size)
        dots = np.stack([draw(found[found["frame"] == index]) for index in range(N_FRAMES)])
        score = {
            **score_dots(series, dots),
            "F1": atom_score(series.positions, found, tolerance=1.0).f1,
        }
        best = max(best, score, key=lambda score: score.get("dots, dB", 0))
    return {"PSNR, dB": psnr(series.clean, denoised), "SSIM": ssim(series.clean, denoised), **best}


def score_dots(series: Bunch, dots: NDArray) -> dict[str, float]:
    """Score dots against the true ones."""
    names = {"PSNR, dB": "dots, dB", "SSIM": "dots, SSIM", "IoU": "dots, IoU", "F1": "F1"}
    return {names[name]: value for name, value in scores(series, dots).items()}


def draw(atoms: pd.DataFrame) -> NDArray:
    """Draw a dot for each atom, as in the target."""
    along_y, along_x = (
        np.exp(-0.5 * ((np.arange(SIDE)[:, None] - atoms[axis].to_numpy()) / DOT_SIGMA) ** 2)
        for axis in ("y", "x")
    )
    return (DOT_PEAK * along_y @ along_x.T).astype(np.float32)
