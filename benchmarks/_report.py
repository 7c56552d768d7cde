"""Print the table of a benchmark with date, commit, machine and Python version."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path

import pandas as pd


def print_table(title: str, table: pd.DataFrame, *, notes: str = "") -> None:
    """Print a table with date, commit, machine and Python version."""
    root = Path(__file__).parent
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True
    ).stdout.strip()
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    print(f"\n## {title}\n")
    print(table.to_string())
    if notes:
        print(f"\n{notes}")
    print(
        f"\n{today}, commit {commit}, {_processor()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
