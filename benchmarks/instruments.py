"""What estimators make of frames with the faults of instruments: right, a warning, or an error.

    python benchmarks/instruments.py

"right" is within the tolerance of the answer for clean frames. "warning" and "error" are named
ones; "wrong" would be a wrong answer without a word. Frames are simulated.
"""

from __future__ import annotations

from typing import Annotated

import _instruments
import _options
import _report
import pandas as pd
import typer


def main(
    tasks: Annotated[str, typer.Option(help="Names of estimators, separated by commas.")] = "",
) -> None:
    """Print the table of all estimators and faults."""
    rows, wrong = {}, []
    for task in tasks.split(",") if tasks else _instruments.TASKS:
        cells = {fault: _instruments.run_cell(task, fault) for fault in _instruments.FAULTS}
        rows[task] = {fault: cell.outcome for fault, cell in cells.items()}
        wrong += [
            f"wrong without a word: {task}, {fault}: {cell.detail}"
            for fault, cell in cells.items()
            if cell.outcome == "wrong"
        ]
    table = pd.DataFrame(rows)
    counts = table.stack().value_counts()
    notes = ", ".join(f"{n} {outcome}" for outcome, n in counts.items())
    _report.print_table("Frames of instruments", table, notes="\n".join([notes, *wrong]))


if __name__ == "__main__":
    _options.run(main, tasks="register,GaussianDenoiser")
