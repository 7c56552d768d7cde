"""Import times of stemkit and its subpackages, compared with `sklearn.base`.

    python benchmarks/import_time.py

Each import runs in a new interpreter, whose start is not counted. The table has the least CPU time
of several rounds, each over all modules, so that other processes affect all modules alike.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import _options
import _report
import pandas as pd
import typer

REFERENCE = "sklearn.base"
MODULES = [
    REFERENCE,
    "stemkit",
    "stemkit.base",
    "stemkit.noise",
    "stemkit.metrics",
    "stemkit.localize",
    "stemkit.datasets",
    "stemkit.denoise",
    "stemkit.drift",
    "torch",
]
HEAVY = ["torch", "matplotlib", "ase", "dask", "lightning_fabric", "pooch", "skimage", "pandas"]
CODE = """
import sys, time
start = time.process_time()
import {module}
print(time.process_time() - start, *(name for name in {heavy} if name in sys.modules))
"""


def measure(module: str) -> tuple[float, str]:
    """Return the CPU seconds of one import, and the large packages that it loads."""
    code = CODE.format(module=module, heavy=HEAVY)
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    seconds, *heavy = answer.stdout.split()
    return float(seconds), ", ".join(heavy)


def main(rounds: Annotated[int, typer.Option(help="New interpreters for each module.")] = 7):
    """Print the table."""
    runs = [{module: measure(module) for module in MODULES} for _ in range(rounds)]
    best = pd.Series({module: min(run[module][0] for run in runs) for module in MODULES})
    table = pd.DataFrame(
        {
            "CPU ms": (1e3 * best).round(1),
            f"of {REFERENCE}": (best / best[REFERENCE]).round(2),
            "loads": pd.Series({module: runs[0][module][1] for module in MODULES}),
        }
    )
    _report.print_table(f"Import time, best of {rounds}", table)


if __name__ == "__main__":
    _options.run(main, rounds=2)
