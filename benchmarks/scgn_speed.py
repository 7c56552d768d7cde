"""Time and memory of SCGN, compared with the same network computed layer by layer.

    python benchmarks/scgn_speed.py --train 6x128 --train 4x256
    python benchmarks/scgn_speed.py --large 4096x4096 --large 1001x999

Both networks have the released layout and the same weights, and their results agree to 1e-4. They
alternate, each in a new process, because memory that one has allocated would speed up the other.
The plain network processes whole frames, as the released code does; stemkit's processes frames of
more than 512 px in tiles, as SCGNDenoiser does. "CPU s" is the CPU time of all threads, to which
other processes on the machine do not add; "s" is elapsed time.

--large measures the shipped network: time and total memory of a process for frames of any size, and
errors where tiles meet.
"""

from __future__ import annotations

import tempfile
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
from stemkit.engine import put_weights
from stemkit.networks import SCGN, rename_released

TILE = 256
SIDES, BATCHES = [256, 512], ["6x128"]
FIXTURES = Path(__file__).resolve().parents[2] / "shared" / "fixtures"
# Multiplications per pixel in the 3x3 and 1x1 convolutions of a layer. Convolutions of the spectrum
# count half, since a real frame needs half of it.
LAYER = 9 * 32 * 32 + 32 * 32 + 9 * 32 * 32 + (66 + 64) * 64 / 2 + 9 * 64 * 64 / 2 + 9 * 64 * 32
FLOP_PER_PIXEL = 2 * (8 * (2 * LAYER + 9 * 64 * 64) + 2 * 9 * 64)


def make_networks() -> tuple[PlainSCGN, SCGN]:
    """Return both networks with the same weights, and check the plain one against the authors'."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain, optimised = PlainSCGN(), SCGN(layout="released")
    file = FIXTURES / "scgn_released_layout.pth"
    if file.is_file():
        state = torch.load(file, weights_only=True)["model_state_dict"]
        plain.load_state_dict({key.removeprefix("module."): v for key, v in state.items()})
        with np.load(FIXTURES / "scgn_released_layout_io.npz") as io, torch.inference_mode():
            difference = plain.eval()(torch.from_numpy(io["in0"])).numpy() - io["out0"]
            assert np.abs(difference).max() < 1e-4 * io["out0"].std()
    put_weights(optimised, rename_released(plain.state_dict()), "the plain network")
    return plain, optimised


def make_denoiser(plain: PlainSCGN, precision: str) -> SCGNDenoiser:
    """Return a denoiser with the weights of the plain network, which are in the released layout."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plain.pth"
        torch.save(plain.state_dict(), file)
        return SCGNDenoiser.from_checkpoint(file, tile_size=TILE, precision=precision, device="cpu")


def make_frame(*shape: int) -> torch.Tensor:
    return 255 * torch.rand(shape, generator=torch.Generator().manual_seed(1))


class Cost(NamedTuple):
    """Seconds and peak memory of a run."""

    cpu: float
    clock: float
    gib: float = np.nan


class Task(NamedTuple):
    """Denoising a frame, or a training step with several."""

    side: int
    n_learned: int = 0

    def __str__(self) -> str:
        what = f"a training step of {self.n_learned} x" if self.n_learned else "a frame of"
        return f"{what} {self.side} x {self.side}"


def time_second_run(run: Callable[[], object]) -> Cost:
    """Return the times of a second run."""
    run()
    cpu, clock = time.process_time(), time.perf_counter()
    run()
    return Cost(time.process_time() - cpu, time.perf_counter() - clock)


def measure(name: str, task: Task) -> Cost:
    """Run a network twice in this process, and measure the second run."""
    plain, optimised = make_networks()
    reduced = "bfloat16" in name
    model = make_denoiser(plain, "bf16-mixed" if reduced else "32-true")
    before = peak_gib()
    if task.n_learned:
        step = make_step(plain if name == "plain" else optimised, task, reduced)
        took = time_second_run(step)
    else:
        frame = make_frame(1, 1, task.side, task.side)
        if name == "plain":
            plain.eval()
            with torch.inference_mode():
                took = time_second_run(lambda: plain(frame))
        else:
            took = time_second_run(lambda: model.transform(frame[0].numpy()))
    return took._replace(gib=peak_gib() - before)


def compare(task: Task, repeats: int, limit: float) -> list[dict[str, object]]:
    """Return one row for each network, with the least time and memory of its runs."""
    # Without hardware support bfloat16 is emulated, a hundred times slower.
    capabilities = torch.cpu.get_capabilities()
    reduced = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    names = ["plain", "stemkit", *(["stemkit, bfloat16"] if reduced else [])]
    runs = []
    for _ in range(repeats):
        runs.append({name: in_own_process(measure, name, task) for name in names})
    least = {name: Cost(*np.min([run[name] for run in runs], 0)) for name in names}
    return [
        {
            "what": str(task),
            "network": name,
            "CPU s": took.cpu,
            "s": took.clock,
            "times as fast, CPU": least["plain"].cpu / took.cpu,
            "times as fast": least["plain"].clock / took.clock,
            "direct convolutions alone, CPU s": limit,
            "GiB": took.gib,
        }
        for name, took in least.items()
    ]


def direct_rate() -> float:
    """Return the FLOP per second of a direct 3x3 convolution of 64 channels."""
    x, conv = torch.rand(1, 64, 128, 128), torch.nn.Conv2d(64, 64, 3, padding=1)
    with torch.inference_mode():
        seconds = min(time_second_run(lambda: conv(x)).cpu for _ in range(10))
    return 2 * 9 * 64 * 64 * 128 * 128 / seconds


def check_equal(side: int) -> None:
    """Check that both networks give the same result for a whole frame."""
    plain, optimised = (network.eval() for network in make_networks())
    frame = make_frame(1, 1, side, side)
    with torch.inference_mode():
        expected, found = plain(frame), optimised(frame)
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
    large: Annotated[
        list[str] | None, typer.Option(help="Only denoise frames of these sizes.")
    ] = None,
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
        # A training step takes three times the operations of a forward pass.
        rows += compare(
            task, repeats, FLOP_PER_PIXEL * task.side**2 * max(1, 3 * task.n_learned) / rate
        )
    table = pd.DataFrame(rows).set_index(["what", "network"]).round(3)
    _report.print_table(
        "SCGN in the released layout, on the CPU",
        table,
        notes=f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}; "
        "reduced precision is left out on CPUs without bfloat16.",
    )


if __name__ == "__main__":
    _options.run(main, side=[128], train=["2x64"], repeats=1)
