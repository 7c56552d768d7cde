"""How fast SCGN is, and how much memory its training takes, beside its layers taken one by one.

    python benchmarks/scgn_speed.py --train 6x128 --train 4x256
    python benchmarks/scgn_speed.py --large 4096x4096 --large 1001x999

Both networks have the released layout and the same weights, and give the same to 1e-4. They take
turns, in one process. The plain one does whole frames, as the released code does; ours does frames
of 512 px and more in tiles of the size it was trained with, as SCGNDenoiser does, and steps as fit
does them. CPU seconds are those of all threads together, which others on the machine don't add to;
seconds are the clock's.

With --large it is the shipped network that is looked at: what frames of any size take in time and
in a process of their own in memory, all of it counted, and what becomes of them where tiles meet.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, NamedTuple

import stemkit  # noqa: F401  # before torch, which reads how long its threads are to wait

# isort: split
import _report
import numpy as np
import pandas as pd
import torch
import typer
from _plain_scgn import PlainSCGN
from _scgn_large import large_frame, peak_gib, seams

from stemkit.denoise._tiled import even_tile
from stemkit.engine import put_weights, run_tiled
from stemkit.engine._allocation import keep_blocks
from stemkit.networks import SCGN, rename_released

TILE, OVERLAP = 256, 32
SIDES, BATCHES = [256, 512], ["6x128"]
FIXTURES = Path(__file__).resolve().parents[2] / "shared" / "fixtures"
# Multiplications of a pixel, of which a half spectrum has half as many: 3x3 and 1x1 convolutions.
LAYER = 9 * 32 * 32 + 32 * 32 + 9 * 32 * 32 + (66 + 64) * 64 / 2 + 9 * 64 * 64 / 2 + 9 * 64 * 32
FLOP_PER_PIXEL = 2 * (8 * (2 * LAYER + 9 * 64 * 64) + 2 * 9 * 64)


def make_networks() -> tuple[PlainSCGN, SCGN]:
    """Two networks of the same weights, the plain one checked against the authors' output."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain, ours = PlainSCGN(), SCGN(layout="released")
    file = FIXTURES / "scgn_released_layout.pth"
    if file.is_file():
        state = torch.load(file, weights_only=True)["model_state_dict"]
        plain.load_state_dict({key.removeprefix("module."): v for key, v in state.items()})
        with np.load(FIXTURES / "scgn_released_layout_io.npz") as io, torch.inference_mode():
            difference = plain.eval()(torch.from_numpy(io["in0"])).numpy() - io["out0"]
            assert np.abs(difference).max() < 1e-4 * io["out0"].std()
    put_weights(ours, rename_released(plain.state_dict()), "the plain network")
    return plain, ours


def make_frame(*shape: int) -> torch.Tensor:
    return 255 * torch.rand(shape, generator=torch.Generator().manual_seed(1))


class Took(NamedTuple):
    """Seconds that a run took."""

    cpu: float
    clock: float


def clocked(run: Callable[[], object], around: AbstractContextManager[None]) -> Took:
    """Take the time of a run that is not the first."""
    with around:
        run()
        cpu, clock = time.process_time(), time.perf_counter()
        run()
        return Took(time.process_time() - cpu, time.perf_counter() - clock)


def take_turns(runs: dict[str, Callable[[], object]], repeats: int, fit: bool) -> dict[str, Took]:
    """Take the least of each one's turns; ours as in a fit, if there is one."""
    turns = [
        {
            name: clocked(run, keep_blocks() if fit and name != "plain" else nullcontext())
            for name, run in runs.items()
        }
        for _ in range(repeats)
    ]
    return {name: Took(*np.min([turn[name] for turn in turns], 0)) for name in runs}


def compare(what: str, took: dict[str, Took], limit: float) -> list[dict[str, object]]:
    """Rows of a table, one a network."""
    return [
        {
            "what": what,
            "network": name,
            "CPU s": mine.cpu,
            "s": mine.clock,
            "times as fast, CPU": took["plain"].cpu / mine.cpu,
            "times as fast": took["plain"].clock / mine.clock,
            "direct convolutions alone, CPU s": limit,
        }
        for name, mine in took.items()
    ]


def in_tiles(network: SCGN, frame: torch.Tensor, precision: str = "32-true") -> np.ndarray:
    tile = even_tile(tuple(frame.shape[2:]), TILE, OVERLAP)
    settings = {"tile": tile, "overlap": OVERLAP, "device": "cpu", "precision": precision}
    return run_tiled(network, frame.numpy(), **settings)


def direct_rate() -> float:
    """FLOP per second of a 3x3 convolution of 64 channels, taken directly."""
    x, conv = torch.rand(1, 64, 128, 128), torch.nn.Conv2d(64, 64, 3, padding=1)
    with torch.inference_mode():
        took = take_turns({"conv": lambda: conv(x)}, 10, fit=False)["conv"]
    return 2 * 9 * 64 * 64 * 128 * 128 / took.cpu


def inference(side: int, repeats: int, reduced: bool) -> list[dict[str, object]]:
    plain, ours = (network.eval() for network in make_networks())
    frame = make_frame(1, 1, side, side)
    runs = {"plain": lambda: plain(frame), "ours": lambda: in_tiles(ours, frame)}
    if reduced:
        runs["ours, bfloat16"] = lambda: in_tiles(ours, frame, "bf16-mixed")
    with torch.inference_mode():
        expected, found = plain(frame), ours(frame)
        error = float((found - expected).abs().max() / expected.std())
        assert error < 1e-4, error
        took = take_turns(runs, repeats, fit=False)
    limit = FLOP_PER_PIXEL * side**2 / direct_rate()
    rows = compare(f"a frame of {side} x {side}", took, limit)
    column = "difference of whole frames, sd"
    return [{**row, column: error if row["network"] == "ours" else np.nan} for row in rows]


def make_step(
    network: torch.nn.Module, n: int, side: int, *, reduced: bool = False
) -> Callable[[], object]:
    frames, targets = make_frame(n, 1, side, side), make_frame(n, 1, side, side)
    optimizer = torch.optim.Adam(network.train().parameters(), lr=2e-4)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            loss = (network(frames) - targets).abs().mean()
        loss.backward()
        optimizer.step()

    return step


def training(n: int, side: int, repeats: int, reduced: bool) -> list[dict[str, object]]:
    plain, ours = make_networks()
    runs = {"plain": make_step(plain, n, side), "ours": make_step(ours, n, side)}
    if reduced:
        runs["ours, bfloat16"] = make_step(make_networks()[1], n, side, reduced=True)
    took = take_turns(runs, repeats, fit=True)
    # a forward pass, and twice as much back
    limit = 3 * n * FLOP_PER_PIXEL * side**2 / direct_rate()
    rows = compare(f"a training step of {n} x {side} x {side}", took, limit)
    return [{**row, "GiB": peak_memory(str(row["network"]), n, side)} for row in rows]


def peak_memory(name: str, n: int, side: int) -> float:
    """GiB that a step takes at its peak, in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", name, "--train", f"{n}x{side}"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure_memory(name: str, n: int, side: int) -> float:
    plain, ours = make_networks()
    network = plain if name == "plain" else ours
    before = peak_gib()
    step = make_step(network, n, side, reduced="bfloat16" in name)
    with nullcontext() if name == "plain" else keep_blocks():
        for _ in range(2):
            step()
    return peak_gib() - before


def main(
    side: Annotated[list[int], typer.Option(help="Sides of frames in px.")] = SIDES,
    train: Annotated[list[str], typer.Option(help="Batch and side of training steps.")] = BATCHES,
    large: Annotated[list[str] | None, typer.Option(help="Frames to denoise, no more.")] = None,
    repeats: int = 3,
    memory_of: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Print one table."""
    steps = [tuple(map(int, text.split("x"))) for text in train]
    if memory_of:
        print(measure_memory(memory_of, *steps[0]))
        return
    if large:
        sizes = [tuple(map(int, text.split("x"))) for text in large]
        found = pd.DataFrame([large_frame(*size) for size in sizes]).set_index("what")
        _report.print_table("Large frames, with the shipped SCGN", found.round(3))
        _report.print_table("Seams of frames of 512 x 512", pd.DataFrame([seams(8)]).round(3))
        return
    # without instructions for it bfloat16 is emulated, a hundred times slower
    reduced = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    rows: list[dict[str, object]] = []
    for length in side:
        rows += inference(length, repeats, reduced)
    for n, length in steps:
        rows += training(n, length, repeats, reduced)
    table = pd.DataFrame(rows).set_index(["what", "network"]).round(6)
    _report.print_table(
        "SCGN in the released layout, on the CPU",
        table,
        notes=f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
        + ("" if reduced else "; this CPU has no bfloat16, so that reduced precision is left out"),
    )


if __name__ == "__main__":
    typer.run(main)
