"""How fast SCGN is, and how much memory its training takes, beside its layers taken one by one.

    python benchmarks/scgn_speed.py --train 6x128 --train 4x256
    python benchmarks/scgn_speed.py --large 4096x4096 --large 1001x999

Both networks have the released layout and the same weights, and give the same to 1e-4. They take
turns, each in a process of its own: what one does with memory would speed up the other. The plain
one does whole frames, as the released code does; ours does frames of more than 512 px in tiles, as
SCGNDenoiser does, and steps as fit does them. CPU seconds are those of all threads together, which
others on the machine don't add to; seconds are the clock's.

With --large it is the shipped network that is looked at: what frames of any size take in time and
in a process of their own in memory, all of it counted, and what becomes of them where tiles meet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import _options
import _report
import numpy as np
import pandas as pd
import torch
import typer
from _plain_scgn import PlainSCGN
from _scgn_large import in_own_process, large_frame, peak_gib, seams

from stemkit.denoise import SCGNDenoiser
from stemkit.denoise._inference import denoise_tiled
from stemkit.engine import put_weights
from stemkit.networks import SCGN, rename_released

TILE = 256
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
    """What a run took: seconds, and memory at the peak."""

    cpu: float
    clock: float
    gib: float = np.nan


class Task(NamedTuple):
    """A frame of a side, or a step with so many of them."""

    side: int
    n_learned: int = 0

    def __str__(self) -> str:
        what = f"a training step of {self.n_learned} x" if self.n_learned else "a frame of"
        return f"{what} {self.side} x {self.side}"


def clocked(run: Callable[[], object]) -> Took:
    """Take the time of a run that is not the first."""
    run()
    cpu, clock = time.process_time(), time.perf_counter()
    run()
    return Took(time.process_time() - cpu, time.perf_counter() - clock)


def take_turn(name: str, task: Task) -> Took:
    """Run a network twice, in whatever process this is."""
    plain, ours = make_networks()
    reduced = "bfloat16" in name
    before = peak_gib()
    if task.n_learned:
        step = make_step(plain if name == "plain" else ours, task, reduced)
        took = clocked(step)
    else:
        frame = make_frame(1, 1, task.side, task.side)
        precision = "bf16-mixed" if reduced else "32-true"
        with torch.inference_mode():
            if name == "plain":
                plain.eval()
                took = clocked(lambda: plain(frame))
            else:
                settings = {"at_once": SCGNDenoiser._at_once, "precision": precision}
                took = clocked(lambda: denoise_tiled(ours, frame.numpy(), TILE, "cpu", **settings))
    return took._replace(gib=peak_gib() - before)


def compare(task: Task, repeats: int, limit: float) -> list[dict[str, object]]:
    """Rows of a table, one a network: the least of its turns."""
    # without instructions for it bfloat16 is emulated, a hundred times slower
    reduced = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    names = ["plain", "ours", *(["ours, bfloat16"] if reduced else [])]
    turns = []
    for _ in range(repeats):
        turns.append({name: in_own_process(take_turn, name, task) for name in names})
    least = {name: Took(*np.min([turn[name] for turn in turns], 0)) for name in names}
    return [
        {
            "what": str(task),
            "network": name,
            "CPU s": mine.cpu,
            "s": mine.clock,
            "times as fast, CPU": least["plain"].cpu / mine.cpu,
            "times as fast": least["plain"].clock / mine.clock,
            "direct convolutions alone, CPU s": limit,
            "GiB": mine.gib,
        }
        for name, mine in least.items()
    ]


def direct_rate() -> float:
    """FLOP per second of a 3x3 convolution of 64 channels, taken directly."""
    x, conv = torch.rand(1, 64, 128, 128), torch.nn.Conv2d(64, 64, 3, padding=1)
    with torch.inference_mode():
        seconds = min(clocked(lambda: conv(x)).cpu for _ in range(10))
    return 2 * 9 * 64 * 64 * 128 * 128 / seconds


def check_equal(side: int) -> None:
    """See that both give the same of a whole frame."""
    plain, ours = (network.eval() for network in make_networks())
    frame = make_frame(1, 1, side, side)
    with torch.inference_mode():
        expected, found = plain(frame), ours(frame)
    error = float((found - expected).abs().max() / expected.std())
    assert error < 1e-4, error


def make_step(network: torch.nn.Module, task: Task, reduced: bool) -> Callable[[], object]:
    frames, targets = (make_frame(task.n_learned, 1, task.side, task.side) for _ in range(2))
    optimizer = torch.optim.Adam(network.train().parameters(), lr=2e-4)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            loss = (network(frames) - targets).abs().mean()
        loss.backward()
        optimizer.step()

    return step


def main(
    side: Annotated[list[int], typer.Option(help="Sides of frames in px.")] = SIDES,
    train: Annotated[list[str], typer.Option(help="Batch and side of training steps.")] = BATCHES,
    large: Annotated[list[str] | None, typer.Option(help="Frames to denoise, no more.")] = None,
    repeats: int = 3,
) -> None:
    """Print one table."""
    if large:
        sizes = [tuple(map(int, text.split("x"))) for text in large]
        found = pd.DataFrame([large_frame(*size) for size in sizes]).set_index("what")
        _report.print_table("Large frames, with the shipped SCGN", found.round(3))
        _report.print_table("Seams of frames of 544 x 544", pd.DataFrame([seams(8)]).round(3))
        return
    tasks = [Task(length) for length in side]
    tasks += [Task(length, n) for n, length in (map(int, text.split("x")) for text in train)]
    rate = direct_rate()
    rows = []
    for task in tasks:
        if not task.n_learned:
            check_equal(task.side)
        # of a step a forward pass, and twice as much back
        rows += compare(
            task, repeats, FLOP_PER_PIXEL * task.side**2 * max(1, 3 * task.n_learned) / rate
        )
    table = pd.DataFrame(rows).set_index(["what", "network"]).round(3)
    _report.print_table(
        "SCGN in the released layout, on the CPU",
        table,
        notes=f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}; "
        "where a CPU has no bfloat16, reduced precision is left out.",
    )


if __name__ == "__main__":
    _options.run(main, side=[128], train=["2x64"], repeats=1)
