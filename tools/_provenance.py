"""Entries of a card on the origin of weights."""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).parents[1]


def provenance(module: nn.Module) -> dict[str, str]:
    """Return the commit and the device of the training of a module."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    on_gpu = next(module.parameters()).is_cuda
    return {
        "commit": commit.stdout.strip(),
        "device": torch.cuda.get_device_name() if on_gpu else "CPU",
    }
