"""Import times of stemkit and its subpackages, compared with `sklearn.base`.

    python benchmarks/import_time.py

Names of stemkit load lazily, so one name of each subpackage is imported with it. Each import runs
in a new interpreter, whose start is not counted. The table has the least CPU time of several
rounds, each over all imports, so that other processes affect all imports alike.
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
IMPORTED = [
    REFERENCE,
    "stemkit",
    "stemkit.io.read_stack",
    "stemkit.noise.HRTEMNoise",
    "stemkit.metrics.psnr",
    "stemkit.localize.AtomLocator",
    "stemkit.preprocessing.BadPixelRepair",
    "stemkit.datasets.make_scene",
    "stemkit.denoise.SCGNDenoiser",
    "stemkit.DriftDecayModel",
    "torch",
]
HEAVY = ["torch", "matplotlib", "ase", "dask", "lightning_fabric", "pooch", "skimage", "pandas"]
CODE = """
import sys, time
start = time.process_time()
{statement}
print(time.process_time() - start, *(name for name in {heavy} if name in sys.modules))
"""


def measure(imported: str) -> tuple[float, str]:
    """Return the CPU seconds of one import, and the large packages that it loads."""
    package, _, name = imported.rpartition(".")
    has_name = imported.startswith("stemkit.")
    statement = f"from {package} import {name}" if has_name else f"import {imported}"
    code = CODE.format(statement=statement, heavy=HEAVY)
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    seconds, *heavy = answer.stdout.split()
    return float(seconds), ", ".join(heavy)


def main(rounds: Annotated[int, typer.Option(help="New interpreters for each import.")] = 7):
    """Print the table."""
    runs = [{imported: measure(imported) for imported in IMPORTED} for _ in range(rounds)]
    best = pd.Series({imported: min(run[imported][0] for run in runs) for imported in IMPORTED})
    table = pd.DataFrame(
        {
            "CPU ms": (1e3 * best).round(1),
            f"of {REFERENCE}": (best / best[REFERENCE]).round(2),
            "loads": pd.Series({imported: runs[0][imported][1] for imported in IMPORTED}),
        }
    )
    _report.print_table(f"Import time, best of {rounds}", table)


if __name__ == "__main__":
    _options.run(main, rounds=2)
