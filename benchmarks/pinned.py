"""PINNED compared with common denoisers on three new materials, at five levels of noise.

    python benchmarks/pinned.py                # with the shipped weights
    python benchmarks/pinned.py --train        # hours

All methods run on the same frames, whose crystals, zone axes, rotations and pixel sizes are not in
any training set. Denoisers without a network have the strength of the highest PSNR at each level.
Most of their error is the bias from replaced pixels, so they are also scored with the gain and the
offset that follow from the noise level, and with the gain and the offset that fit the true frames
best. Trainings are kept in the folder: a second call resumes them, or only evaluates. Figures 3 and
5 of the paper are saved next to this file.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import _options
import _pinned_plots
import _report
import numpy as np
import pandas as pd
import torch
import typer
from _pinned_data import LEVELS, PAPERS_FIVE, add_noise, held_out_frames, papers_pairs
from _pinned_peers import calibrated, noise_sigma, peers, with_true_gain
from _pinned_runs import ABLATION, AS_IN_PAPER, MSE_ALONE, SEEDS, STEMKIT, load_or_train
from _pinned_tuning import tune
from numpy.typing import NDArray

from stemkit import PINNEDDenoiser
from stemkit.engine import load_card
from stemkit.exceptions import LatticePriorWarning
from stemkit.metrics import epi, fsc, gradient_correlation, psnr, ssim

METRICS = {"PSNR": psnr, "SSIM": ssim, "FSC": fsc, "EPI": epi, "edges": gradient_correlation}
TRUTH = "true gain"
# Seed of the noise on the paper's five crystals, different from the seeds of the training pairs.
PAPERS_SEED = 5


def scores(clean: NDArray, denoised: NDArray, **about: object) -> list[dict[str, object]]:
    """Return one row of metrics for each frame."""
    values = {
        name: metric(clean, denoised.clip(0, 255), reduction="none")
        for name, metric in METRICS.items()
    }
    return [
        {**about, "frame": index, **{name: float(value[index]) for name, value in values.items()}}
        for index in range(len(clean))
    ]


def scores_of_peers(clean: NDArray, seed: int, folder: Path) -> pd.DataFrame:
    """Score all denoisers without a network: as they are, calibrated, and with the true gain."""
    tables = []
    for name, (peer, strengths) in peers().items():
        file = folder / f"peer {name} {seed}.json"
        if not file.exists():
            rows = [
                row
                for level in LEVELS
                for strength in strengths
                for row in _scores_of_peer(name, peer, level, strength, clean, seed)
            ]
            file.write_text(json.dumps(rows))
        tables.append(pd.DataFrame(json.loads(file.read_text())))
    table = pd.concat(tables)
    cells = ["method", "level", "gain"]
    means = table.groupby([*cells, "strength"])["PSNR"].mean()
    best = means[means == means.groupby(cells).transform("max")].reset_index()
    # Keep one strength where several score the same.
    best = best.drop_duplicates(cells)[[*cells, "strength"]]
    return table.merge(best)


def _scores_of_peer(name, peer, level, strength, clean, seed) -> list[dict[str, object]]:
    noisy = add_noise(clean, level, seed)
    denoised = np.stack([peer(frame, noise_sigma(level), strength) for frame in noisy])
    versions = {
        "as it is": denoised,
        "calibrated": calibrated(denoised, level),
        TRUTH: with_true_gain(denoised, clean),
    }
    return [
        row
        for gain, frames in versions.items()
        for row in scores(
            clean, frames, method=name, level=level, gain=gain, strength=strength, seed=0
        )
    ]


def scores_of_networks(
    models: Mapping[str, Mapping[int, PINNEDDenoiser]], clean: NDArray, seed: int, folder: Path
) -> pd.DataFrame:
    """Score the networks of all seeds, as they are and with the true gain."""
    tables = []
    for name, seeds in models.items():
        for training_seed, model in seeds.items():
            file = folder / f"scores {name} {training_seed} {seed}.json"
            if not file.exists():
                rows = _scores_of_network(model, clean, seed, method=name, seed=training_seed)
                file.write_text(json.dumps(rows))
            tables.append(pd.DataFrame(json.loads(file.read_text())))
    return pd.concat(tables)


def _scores_of_network(
    model: PINNEDDenoiser, clean: NDArray, noise_seed: int, **about: object
) -> list[dict[str, object]]:
    rows = []
    for level in LEVELS:
        denoised = model.transform(add_noise(clean, level, noise_seed))
        versions = {"as it is": denoised, TRUTH: with_true_gain(denoised, clean)}
        for gain, frames in versions.items():
            rows += scores(clean, frames, level=level, gain=gain, **about)
    return rows


def by_level(table: pd.DataFrame) -> pd.DataFrame:
    """Return PSNR/SSIM averaged over frames, with half the range over seeds if there are any."""
    seeds = table.groupby(["method", "gain", "level", "seed"], sort=False)[["PSNR", "SSIM"]].mean()
    groups = seeds.groupby(["method", "gain", "level"], sort=False)
    mean, low, high = groups.mean(), groups.min(), groups.max()
    half = (high - low) / 2
    text = mean["PSNR"].map("{:.1f}".format) + "/" + mean["SSIM"].map("{:.2f}".format)
    several = groups.size() > 1
    spread = " ±" + half["PSNR"].map("{:.1f}".format) + "/" + half["SSIM"].map("{:.2f}".format)
    return text.where(~several, text + spread).unstack("level")


def trends(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each metric at each level, to compare with the trends of the paper."""
    return table.groupby("level")[list(METRICS)].mean().round(3)


def main(
    folder: Annotated[Path, typer.Option(help="Folder of trainings and scores.")] = Path(
        "build/pinned"
    ),
    steps: Annotated[int, typer.Option(help="Steps of stemkit's training.")] = 1200,
    short_steps: Annotated[int, typer.Option(help="Steps of each row of the ablation.")] = 150,
    seed: Annotated[int, typer.Option(help="Seed of frames; not used in development.")] = 2026,
    frames: Annotated[int, typer.Option(help="Held-out frames, at most 12.")] = 12,
    train_missing: _options.Train = False,
    threads: int = 0,
) -> None:
    """Train missing networks, score all methods, print the tables and draw the figures."""
    if threads:
        torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    # The effect of the lattice prior on vacancies and vacuum is part of the scores.
    warnings.simplefilter("ignore", LatticePriorWarning)
    options = {"steps": steps, "short_steps": short_steps, "only_trained": not train_missing}
    clean, views = held_out_frames(seed)
    step = max(1, len(clean) // frames)  # keeps every material
    clean, views = clean[::step], views[::step].reset_index(drop=True)
    full = load_or_train((STEMKIT, AS_IN_PAPER), folder, **options)
    if not full[STEMKIT]:
        full[STEMKIT] = {
            0: PINNEDDenoiser(weights="default", normalize="training")
        }  # shipped: this training with seed 0
    ablation = load_or_train(ABLATION, folder, **options)
    networks = scores_of_networks(full | ablation, clean, seed, folder)
    as_it_is = networks[networks["gain"] == "as it is"]
    classical = scores_of_peers(clean, seed, folder)
    compared = networks[networks["method"].isin([STEMKIT, AS_IN_PAPER, MSE_ALONE])]
    everything = pd.concat([classical, compared])
    available = {name: sorted(models) for name, models in (full | ablation).items()}
    _report.print_table(
        f"PINNED: PSNR/SSIM by level, {len(clean)} frames of 256 x 256 px",
        by_level(everything),
        notes=f"Means over frames; ± half the range over seeds. Seeds trained: {available} of "
        f"{SEEDS}. {MSE_ALONE}: {STEMKIT}, without its other terms and for {short_steps} steps "
        f"instead of {steps}.\n" + views.groupby(["material", "axis"]).size().to_string(),
    )
    for name in filter(full.get, (STEMKIT, AS_IN_PAPER)):
        of_method = as_it_is[as_it_is["method"] == name]
        _report.print_table(f"{name}: all metrics, test materials", trends(of_method))
    if not (full[AS_IN_PAPER] and any(ablation.values())):
        print(f"\n{AS_IN_PAPER}, and the ablation are not trained: pass --train for all tables.")
        return
    ablated = as_it_is[as_it_is["method"].isin(ABLATION)]
    by_seed = ablated.groupby(["method", "seed"], sort=False)[list(METRICS)].mean()
    groups = by_seed.groupby("method", sort=False)
    _report.print_table(
        f"Effect of each term of the loss: {short_steps} steps, mean over levels",
        groups.mean().round(3).join(groups.std().round(3), suffixes=("", " sd of seeds")),
    )
    _report.print_table("Weights of the loss, by GridSearchCV", tune(folder).round(3))
    losses = {
        training_seed: round(load_card(model.weights)["train_loss"], 4)
        for training_seed, model in full[AS_IN_PAPER].items()
    }
    print(f"\n{AS_IN_PAPER}: final training loss by seed {losses}; 0.0425 in the paper.")
    five = papers_pairs(0)[1]
    where = Path(__file__).parent
    of_training = scores_of_networks(full, five, PAPERS_SEED, folder)
    _pinned_plots.draw_metrics(of_training, PAPERS_FIVE, where / "pinned_training.png")
    # The first view of each material along the first axis.
    first = views.drop_duplicates("material")
    shown = compared[compared["method"] != MSE_ALONE]
    shown = shown.set_index("frame").loc[first.index].reset_index()
    shown["frame"] = shown["frame"].map({frame: n for n, frame in enumerate(first.index)})
    _pinned_plots.draw_metrics(shown, list(first["material"]), where / "pinned_validation.png")
    _pinned_plots.draw_frames(clean, seed, full, where / "pinned_frames.png")


if __name__ == "__main__":
    _options.run(main, folder=Path("build/pinned-quick"), frames=3)
