"""Large blocks of memory stay with the process while a network learns, and no longer."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc is told how to allocate"
)

# Each in a process of its own: what a process has allocated before decides what it does next. Those
# that keep blocks count twice, since the holes left by the first are too small for what comes then.
COUNT = """
import resource
from stemkit._allocation import keep_blocks

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        b"1" * 100_000_000  # 100 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6
"""


def run(code, **environment):
    others = {k: v for k, v in os.environ.items() if not k.startswith(("GLIBC_", "MALLOC_"))}
    result = subprocess.run(
        [sys.executable, "-c", COUNT + code],
        capture_output=True,
        text=True,
        env={**others, "OMP_NUM_THREADS": "1", **environment},
    )
    assert result.returncode == 0, result.stderr
    outside, *counts = map(float, result.stdout.split())
    if not outside:
        pytest.skip("This system doesn't count the pages that are touched.")
    return outside, *counts


def test_blocks_are_cleared_once_and_given_back():
    outside, inside, kept, left, later = run(
        "print(faults())\n"
        "with keep_blocks():\n"
        "    faults(); print(faults()); kept = held()\n"
        "print(kept, held())\n"
        "import ctypes\n"
        "malloc = ctypes.CDLL(None).malloc\n"
        "for _ in range(20): malloc(ctypes.c_size_t(100_000_000))\n"  # all holes that may be left
        "b'1' * 100_000_000; print(held())"
    )
    assert inside < outside / 3
    assert left < kept - 90
    assert later < left + 50


def test_an_error_gives_them_back():
    _, kept, left = run(
        "print(faults())\n"
        "try:\n"
        "    with keep_blocks():\n"
        "        faults(); print(held()); raise KeyError\n"
        "except KeyError:\n"
        "    print(held())"
    )
    assert left < kept - 90


def test_the_inner_one_of_two_changes_nothing():
    outside, inside = run(
        "print(faults())\n"
        "with keep_blocks():\n"
        "    with keep_blocks():\n"
        "        faults()\n"
        "    faults(); print(faults())"
    )
    assert inside < outside / 3


@pytest.mark.parametrize(
    "name, value",
    [("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1000000"), ("MALLOC_TRIM_THRESHOLD_", "1e6")],
)
def test_who_says_how_to_allocate_is_heard(name, value):
    outside, inside = run(
        "print(faults())\nwith keep_blocks():\n    faults(); print(faults())",
        **{name: value},
    )
    assert inside > outside / 2


def test_a_fit_keeps_blocks():
    outside, inside = run(
        "from stemkit.engine import ArraySource, fit_module\n"
        "import numpy as np, torch\n"
        "print(faults())\n"
        "counts = []\n"
        "def loss(module, batch):\n"
        "    counts.append(faults())\n"
        "    return module(batch[0]).square().mean()\n"
        "x = np.ones((4, 1), np.float32)\n"
        "fit_module(torch.nn.Linear(1, 1), loss, ArraySource(x, x), max_steps=3, device='cpu')\n"
        "print(counts[-1])"
    )
    assert inside < outside / 3


def test_tiles_and_large_frames_keep_blocks_until_they_are_done():
    outside, small, large, tiles, kept, left = run(
        "from stemkit.engine import run_tiled\n"
        "import numpy as np\n"
        "print(faults())\n"
        "found = []\n"
        "def double(x):\n"
        "    faults(); found.append((faults(), held()))\n"
        "    return 2 * x\n"
        "for side, tile in ((300, 300), (400, 400), (400, 256)):\n"
        "    x = np.ones((1, 1, side, side), np.float32)\n"
        "    run_tiled(double, x, tile=tile, device='cpu'); print(found[-1][0])\n"
        "print(found[-1][1], held())"
    )
    assert small > outside / 2
    assert large < outside / 3
    assert tiles < outside / 3
    assert left < kept - 90
