"""Drift and damage of real frames with the defaults, compared with the expected drift.

    python benchmarks/real.py

The frames cannot be distributed; they are read from ../shared/data next to the repository.
"""

from __future__ import annotations

import time
from itertools import combinations
from pathlib import Path
from typing import Annotated

import _options
import _report
import numpy as np
import pandas as pd
import typer

from stemkit import DriftDecayModel
from stemkit.inspection import DriftDecayDisplay
from stemkit.io import read_stack
from stemkit.registration import reconcile, register

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# Drift (dy, dx) in px according to the README of the data, and its tolerance.
EXPECTED = {
    "LLZO": {(0, 1): (18.2, 45.3), (1, 2): (50.0, 46.0), (0, 2): (69.5, 93.1)},
    "Pt on N-doped carbon": {(0, 1): (-11.3, -1.6), (1, 2): (-8.6, -6.7), (0, 2): (-19.2, -9.3)},
}
TOLERANCE = {"LLZO": 4.0, "Pt on N-doped carbon": 1.5}
FILES = {
    "LLZO": [f"llzo/tilt_JEOL_{n}.png" for n in (1, 2, 3)],
    "Pt on N-doped carbon": [
        f"ptnc/{n}_HAADF_15nm_Sample_PtNC_21Oct20.tif" for n in ("047", "048", "051")
    ],
}


def drift_rows(name: str) -> list[dict]:
    """Return one row for each pair of frames, as registered and as reconciled."""
    frames = np.asarray(read_stack([DATA / file for file in FILES[name]]).frames)
    found, seconds = {}, {}
    for i, j in combinations(range(len(frames)), 2):
        start = time.perf_counter()
        found[i, j] = register(frames[i], frames[j], motion=DriftDecayModel().motion)
        seconds[i, j] = time.perf_counter() - start
    placed = reconcile(found, len(frames)).motions
    around = found[0, 1].motion.then(found[1, 2].motion).drift - found[0, 2].motion.drift
    rows = []
    for (i, j), registration in found.items():
        expected = np.array(EXPECTED[name][i, j])
        reconciled = placed[i].inverse().then(placed[j]).drift
        dy, dx = registration.motion.drift
        rows.append(
            {
                "frames": name,
                "pair": f"{i + 1} to {j + 1}",
                "dy": dy,
                "dx": dx,
                "rotation, deg": np.rad2deg(registration.motion.rotation),
                "error, px": np.hypot(*(registration.motion.drift - expected)),
                "error reconciled, px": np.hypot(*(reconciled - expected)),
                "tolerance, px": TOLERANCE[name],
                "closure of the three, px": np.hypot(*around),
                "confidence": registration.confidence,
                "s": seconds[i, j],
            }
        )
    return rows


def damage(figure: Path) -> pd.DataFrame:
    """Time the default model on LLZO, and plot the damage from the first frame to the last."""
    frames = np.asarray(read_stack([DATA / file for file in FILES["LLZO"]]).frames)
    model = DriftDecayModel(random_state=0, verbose=1)
    start = time.perf_counter()
    model.fit(frames)
    fitted = time.perf_counter()
    pair = frames[[0, -1]]
    state = model.predict(pair)
    predicted = time.perf_counter()
    DriftDecayDisplay.from_predictions(pair, state).plot().figure_.savefig(figure, dpi=100)
    print(f"damage from frame 1 to {len(frames)} is plotted in {figure}")
    row = {
        "fit, s": fitted - start,
        "predict, s": predicted - fitted,
        "binning": model.binning_,
        "mean damage in the overlap": state.damage[state.overlap].mean(),
        "score": model.score(frames),
    }
    return pd.DataFrame([row], index=["LLZO, three frames of 1600 x 1600 px"])


def main(
    figure: Annotated[Path, typer.Option(help="File for a plot of the damage.")] = Path(
        "real_damage.png"
    ),
) -> None:
    """Run all and print the tables."""
    if not DATA.is_dir():
        print("This benchmark needs real frames in ../shared/data next to the repository.")
        raise typer.Exit(1)
    table = pd.DataFrame([row for name in FILES for row in drift_rows(name)])
    _report.print_table(
        "Drift of real frames, defaults only", table.set_index(["frames", "pair"]).round(2)
    )
    _report.print_table("DriftDecayModel on real frames, defaults only", damage(figure).round(3))


if __name__ == "__main__":
    _options.run(main)
