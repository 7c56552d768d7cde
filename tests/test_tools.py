"""The tool that trains the shipped weights of DriftDecayModel, with minimal data."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from stemkit import DriftDecayModel
from stemkit.damage import _training
from stemkit.engine import load_card

TOOLS = Path(__file__).parents[1] / "tools"
TINY = {"steps": 3, "channels": (2, 2, 2), "side": 16, "batch_size": 1, "device": "cpu"}


@pytest.fixture
def train(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    path = TOOLS / "train_default_weights.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def often_kept(*arguments, **options):
        return _training.train_network(
            *arguments, **options | {"checkpoint_every": 1, "verbose": 0}
        )

    monkeypatch.setattr(tool, "train_network", often_kept)
    return tool.main


def test_default_weights_are_trained_resumed_and_described(train, tmp_path, monkeypatch):
    whole, resumed = (tmp_path / f"{name}.safetensors" for name in ("whole", "resumed"))
    train(output=whole, checkpoint_dir=tmp_path / "one", **TINY)

    n_steps = 0
    step = torch.optim.AdamW.step

    def interrupted(optimizer, *arguments):
        nonlocal n_steps
        n_steps += 1
        if n_steps == 3:
            raise KeyboardInterrupt
        return step(optimizer, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.AdamW, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(output=resumed, checkpoint_dir=tmp_path / "two", **TINY)
    assert not resumed.exists()
    train(output=resumed, checkpoint_dir=tmp_path / "two", **TINY)
    assert resumed.read_bytes() == whole.read_bytes()

    card = load_card(resumed)
    assert {"data", "steps", "seed", "commit", "validation"} <= set(card)
    assert card["steps"] == 3
    assert DriftDecayModel(weights=resumed, max_epochs=0).fit(np.ones((2, 16, 16))).module_
