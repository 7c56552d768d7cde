"""Test the benchmark of SCGN with tiny networks, since an error would waste hours on a GPU."""

import importlib
import itertools
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Return the modules of the benchmark, with tiny networks and frames for the GPU budget."""
    monkeypatch.syspath_prepend(FOLDER)
    scgn, runs = (importlib.import_module(name) for name in ("scgn", "_scgn_runs"))
    small = scgn.BUDGETS["gpu"]._replace(n_blocks=1, n_channels=4, side=16, batch_size=2, steps=12)
    monkeypatch.setitem(scgn.BUDGETS, "gpu", small)
    monkeypatch.setattr(scgn, "CLASSICAL", {"empty frame": scgn.CLASSICAL["empty frame"]})
    for module in (scgn, runs):
        monkeypatch.setattr(module, "EPOCH", 2)
    return scgn, runs


def call(scgn, results, network="SFIN"):
    scgn.main(
        budget="gpu",
        only=[network],
        data=["NUC"],
        seeds=[0],
        steps=0,
        frames=1,
        results=results,
        device="cpu",
        threads=0,
        sequence=0,
        table=False,
        train_missing=True,
    )
    kept = results / "gpu" / f"NUC-{network.replace(', ', '-').replace(' ', '-')}-12-0.json"
    return json.loads(kept.read_text()) if kept.exists() else None


def test_interrupted_training_resumes_to_the_same_result(benchmark, tmp_path, monkeypatch, capsys):
    scgn, runs = benchmark
    whole = call(scgn, tmp_path / "whole")
    calls = itertools.count()
    clock = SimpleNamespace(
        monotonic=lambda: next(calls),
        process_time=time.process_time,
        perf_counter=time.perf_counter,
    )
    for module in (scgn, runs):
        monkeypatch.setattr(module, "time", clock)
    # The clock is read at the start, at three batches that fit only inspects, and at each training
    # batch. Nine of twelve steps fit before the deadline; the checkpoint holds eight.
    short = scgn.BUDGETS["gpu"]._replace(minutes=12.5 / 60)
    monkeypatch.setitem(scgn.BUDGETS, "gpu", short)
    assert call(scgn, tmp_path / "parts") is None
    assert "Time is up: run the same command again to continue." in capsys.readouterr().out
    parts = call(scgn, tmp_path / "parts")
    for score in ("PSNR, dB", "SSIM", "IoU", "F1"):
        assert parts["scores"][""][score] == whole["scores"][""][score]
    assert parts["loss"] == whole["loss"]
    # A resumed run does not measure the speed.
    assert whole["TFLOP/s"] > 0
    assert "TFLOP/s" not in parts


def test_table_lists_scores_and_speed(benchmark, tmp_path, capsys):
    scgn, _ = benchmark
    kept = call(scgn, tmp_path)
    table = scgn.table_of(sorted((tmp_path / "gpu").glob("*.json")), batch_size=2)
    row = table.loc[("NUC", 12, "SFIN")]
    assert row["frames learned a s"] == pytest.approx(2 / kept["s a step"])
    assert row["PSNR, dB"] == kept["scores"][""]["PSNR, dB"]
    assert table.loc[("NUC", 0, "empty frame"), "F1"] == 0
    assert "frames learned a s" in capsys.readouterr().out


def test_every_network_can_be_made(benchmark):
    """An error would end a run of hours."""
    scgn, _ = benchmark
    contenders = importlib.import_module("_scgn_contenders")
    for name in contenders.NETWORKS:
        model = contenders.make_network(name, scgn.BUDGETS["gpu"])
        parameters = {key: getattr(model, key) for key in model._network_takes}
        assert isinstance(model._network(**parameters), torch.nn.Module)


def test_constant_rate_stays_constant(benchmark):
    beyond = importlib.import_module("_scgn_beyond")
    contenders = importlib.import_module("_scgn_contenders")
    stream = contenders.DATA["NUC"].stream(2, 16, "cpu")
    settings = {"n_blocks": 1, "n_channels": 4, "steps_per_epoch": 1, "max_epochs": 4, "lr": 1e-3}
    model = beyond.ConstantRateSCGN(**settings, device="cpu", random_state=0).fit(stream)
    assert set(model.history_["lr"]) == {1e-3}
