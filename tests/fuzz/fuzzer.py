"""Run the calls of a seed, and count their outcomes."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import matplotlib.pyplot as plt
import torch

from .calls import MAY_BE_INFINITE, make_call
from .outcomes import FAULTS, FINITE, KINDS, NOT_FINITE, Outcome, run
from .sample_files import SampleFiles

SECONDS = 10.0


@dataclass(frozen=True)
class Finding:
    """A call with a fault."""

    seed: int
    index: int
    text: str
    outcome: Outcome

    def __str__(self) -> str:
        return (
            f"--seed {self.seed} --index {self.index}: {self.text}\n"
            f"    {self.outcome.kind}: {self.outcome.detail}"
        )


@contextlib.contextmanager
def _surroundings() -> Iterator[SampleFiles]:
    """Work in an empty folder, silently, on one thread, and without a network."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ConnectionRefusedError("no network in tests")

    before, threads = Path.cwd(), torch.get_num_threads()
    connect = socket.socket.connect
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        torch.set_num_threads(1)
        socket.socket.connect = refuse  # type: ignore[method-assign]
        try:
            with joblib.parallel_config(backend="threading"):
                yield SampleFiles(Path(folder))
        finally:
            socket.socket.connect = connect  # type: ignore[method-assign]
            torch.set_num_threads(threads)
            os.chdir(before)


def fuzz(seed: int, indices: Iterable[int]) -> tuple[dict[str, Counter[str]], list[Finding]]:
    """Make the calls of a seed; return counts of outcomes by public name, and the faults."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    findings = []
    with _surroundings() as files:
        for index in indices:
            quiet = io.StringIO()
            with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
                call = make_call(seed, index, files)
                outcome = run(call.run, call.names, SECONDS)
            plt.close("all")
            if outcome.kind == NOT_FINITE and _is_documented(call.name, outcome.detail):
                outcome = Outcome(FINITE)
            table[call.name][outcome.kind] += 1
            if outcome.kind in FAULTS:
                findings.append(Finding(seed, index, call.text, outcome))
    return table, findings


def _is_documented(name: str, detail: str) -> bool:
    """Return whether all parts of a result that are not finite are listed in MAY_BE_INFINITE."""
    return all(
        any(re.fullmatch(pattern, f"{name} {place}") for pattern in MAY_BE_INFINITE)
        for place in detail.split("; ")
    )


def format_table(table: dict[str, Counter[str]]) -> str:
    """Format the counts as a table, with one line for each public name and one for all."""
    width = max(map(len, table), default=0)
    lines = [" ".join([" " * width, "  calls", *(f"{kind:>10}" for kind in KINDS)])]
    total: Counter[str] = Counter()
    for name in sorted(table):
        total += table[name]
        lines.append(_line(name.ljust(width), table[name]))
    lines.append(_line("all".ljust(width), total))
    return "\n".join(lines)


def _line(name: str, counts: Counter[str]) -> str:
    return " ".join([name, f"{counts.total():7}", *(f"{counts[kind]:10}" for kind in KINDS)])
