"""List the benchmarks with the time that each takes, and run them one after the other.

    python benchmarks/run.py --list
    python benchmarks/run.py --quick              # all, in about a quarter of an hour
    python benchmarks/run.py drift decay          # these two, in full

Long trainings are not included; run `scgn.py --train` and `pinned.py --train` for these.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import _options
import pandas as pd
import typer


class Benchmark(NamedTuple):
    """A script, and its rough minutes on two idle CPU cores."""

    measures: str
    minutes: float
    quick_minutes: float
    needs: str = ""


_REAL = "real frames in ../shared/data"
BENCHMARKS = {
    "import_time": Benchmark("time of imports", 1, 0.3),
    "drift": Benchmark("drift and rotation of simulated pairs", 40, 0.6),
    "series": Benchmark("rows of series that move while they are scanned", 12, 0.08),
    "decay": Benchmark("damage maps of simulated series", 60, 2.5),
    "calibration": Benchmark("noise of a simulated camera", 5, 0.5),
    "data": Benchmark("speed of simulators", 2, 0.5),
    "localize": Benchmark("positions of atoms", 10, 1.5),
    "truth_free_selection": Benchmark("scores without truth", 15, 0.9),
    "scgn_speed": Benchmark("time and memory of SCGN", 20, 2),
    "pinned": Benchmark("crystals under composite noise", 10, 1.5),
    "scgn": Benchmark("networks on nucleation frames", 1, 1),
    "instruments": Benchmark("estimators on frames with faults", 6, 0.3),
    "real": Benchmark("drift and damage of real series", 1.3, 1.3, _REAL),
    "real_denoise": Benchmark("SCGN on real frames", 30, 2, _REAL),
}
LONG = """Not included, since they train networks for hours or days:
  python benchmarks/scgn.py --train      (all networks, frames and seeds: about eight days)
  python benchmarks/pinned.py --train    (hours)"""


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks; all by default.")] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Print the table and stop.")] = False,
    small: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Print the chosen benchmarks and their times, then run them."""
    chosen = names or list(BENCHMARKS)
    if unknown := set(chosen) - BENCHMARKS.keys():
        print(f"There is no benchmark {', '.join(sorted(unknown))}; pass {', '.join(BENCHMARKS)}.")
        raise typer.Exit(2)
    print(plan(chosen, quick=small), flush=True)
    if only_list:
        return
    failed = []
    for name in chosen:
        print(f"\n== {name}", flush=True)
        start = time.perf_counter()
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py"))]
        done = subprocess.run([*command, "--quick"] if small else command, check=False)
        print(f"\n{name}: {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
        raise typer.Exit(1)


def plan(names: list[str], *, quick: bool) -> str:
    """Return the table of the benchmarks to run, and their total time."""
    rows = {
        f"{name}.py": {
            "minutes": BENCHMARKS[name].minutes,
            "with --quick": BENCHMARKS[name].quick_minutes,
            "measures": BENCHMARKS[name].measures,
            "needs": BENCHMARKS[name].needs,
        }
        for name in names
    }
    table = pd.DataFrame(rows).T
    total = table["with --quick" if quick else "minutes"].sum()
    return (
        f"{table.to_string()}\n\nabout {total:.0f} minutes on two idle CPU cores; "
        f"all minutes are estimates\n{LONG}"
    )


if __name__ == "__main__":
    _options.run(main, small=True)
