"""SCGN compared with other denoisers, as in tables 1, 2 and 3 of its paper, on simulated frames.

    python benchmarks/scgn.py --train --budget cpu      # days

All networks train on the same frames, with the same number of steps and the same schedule. To
compare networks at equal time, give faster ones more steps (--steps); the table lists the time of
each training. Each training has its own folder, so that a run can be stopped and resumed, and the
table can be made in parts:

    python benchmarks/scgn.py --train --only SCGN --only SFIN --data NUC --seeds 0 --steps 200
    python benchmarks/scgn.py
    python benchmarks/scgn.py --sequence 10

Without --train the script prints the table of finished runs. --sequence trains UDVD on a series of
simulated frames (6 minutes on one core for each seed) and compares it with other denoisers.

The row HINT of a table in the paper cites IDF, iterative dynamic filtering; IDF is run here.
"""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Annotated

import _options
import _report
import pandas as pd
import torch
import typer
from _scgn_contenders import BUDGETS, CLASSICAL, DATA, NETWORKS
from _scgn_runs import EPOCH, Run, score_classical, time_of, train
from _scgn_sequence import N_FRAMES, SIDE, sequence_table

RESULTS = Path(__file__).parent / "results" / "scgn"
KINDS, SEEDS = list(DATA), [0, 1, 2]


def table_of(files: list[Path], batch_size: int) -> pd.DataFrame:
    """Return means and standard deviations over seeds of finished runs.

    Times are those of one core, or of the GPU.
    """
    rows = []
    for file in files:
        kept = json.loads(file.read_text())
        for variant, scores in kept["scores"].items():
            name = f"{kept['network']}, {variant}" if variant else kept["network"]
            about = {"data": kept["data"], "steps": kept["steps"], "network": name}
            sizes = {name: kept.get(name) for name in ("parameters", "s a step", "TFLOP/s")}
            rows.append({**about, **scores, **sizes, "seed": kept["seed"]})
    groups = pd.DataFrame(rows).groupby(["data", "steps", "network"])
    found = groups.mean().drop(columns="seed")
    found.insert(0, "seeds", groups["seed"].count())
    found.insert(2, "+- dB", groups["PSNR, dB"].std())
    found["s to learn"] = found["s a step"] * found.index.get_level_values("steps")
    found["frames learned a s"] = batch_size / found["s a step"]
    return found.astype({"parameters": "Int64"})


def names_of(runs: list[Run]) -> str:
    """Return a short list of runs."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        seeds.setdefault((run.network, run.data), []).append(str(run.seed))
    return "; ".join(f"{n} on {d} ({', '.join(s)})" for (n, d), s in seeds.items()) or "nothing"


def matrix_peak() -> str:
    """Return a note on the GPU's rate of matrix products, or an empty string without a GPU."""
    if not torch.cuda.is_available():
        return ""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    (a @ a).sum().item()
    took = time_of(lambda: sum(a @ a for _ in range(20)).sum().item())
    name, rate = torch.cuda.get_device_name(), 20 * 2 * 8192**3 / took / 1e12
    return f"\n{name}: {rate:.0f} TFLOP/s in products of matrices of 8192 in bfloat16."


def main(
    budget: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    only: Annotated[list[str], typer.Option(help="Networks to train.")] = NETWORKS,
    data: Annotated[list[str], typer.Option(help="Kinds of frames.")] = KINDS,
    seeds: Annotated[list[int], typer.Option(help="Seeds of the trainings.")] = SEEDS,
    steps: Annotated[int, typer.Option(help="Steps of a training; 0 is the budget's.")] = 0,
    frames: Annotated[int, typer.Option(help="Frames of 256 x 256 px to test with.")] = 8,
    results: Annotated[Path, typer.Option(help="Folder of trainings and scores.")] = RESULTS,
    device: str = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 is PyTorch's default.")] = 0,
    sequence: Annotated[int, typer.Option(help="Epochs of UDVD on a series; 0 for none.")] = 0,
    table: Annotated[bool, typer.Option("--table", help="Only print finished runs.")] = False,
    train_missing: _options.Train = False,
) -> None:
    """Train missing networks if `--train` is given, seed by seed, and print the tables."""
    if threads:
        torch.set_num_threads(threads)
    sizes = BUDGETS[budget]
    deadline = time.monotonic() + 60 * sizes.minutes
    folder = results / budget
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in itertools.product(CLASSICAL, data):
        if not (run := Run(name, kind, 0, 0)).file(folder).exists():
            score_classical(run, folder, frames)
    n_steps = (steps or sizes.steps) // EPOCH * EPOCH
    runs = [Run(name, kind, n_steps, seed) for seed in seeds for kind in data for name in only]
    for run in runs:
        if train_missing and not (table or run.file(folder).exists()):
            print(f"{run.network}, {run.data}, seed {run.seed}", flush=True)
            if not train(run, sizes, folder, frames, device, deadline):
                print("Time is up: run the same command again to continue.")
                break
    missing = [run for run in runs if not run.file(folder).exists()]
    _report.print_table(
        f"Denoisers on new frames, budget {budget}",
        table_of(sorted(folder.glob("*.json")), sizes.batch_size).round(4),
        notes=f"Not run with {n_steps} steps: {names_of(missing)}.{matrix_peak()}",
    )
    if sequence:
        width = 16 if budget == "cpu" else 48
        _report.print_table(
            f"A series of {N_FRAMES} nucleation frames of {SIDE} x {SIDE} px",
            sequence_table(folder, sequence, seeds, width, device).round(4),
            notes="PSNR and SSIM are against the clean series; dots, IoU and F1 against the target "
            "dots. For denoisers that do not give dots, a dot is drawn at each peak.",
        )


if __name__ == "__main__":
    # A separate folder keeps these short trainings out of the full tables.
    quick = RESULTS.with_name("scgn_quick")
    _options.run(
        main, only=["SCGN"], data=["NUC"], seeds=[0], steps=50, frames=2, results=quick,
        train_missing=True,
    )  # fmt: skip
