import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from stemkit.cli import app
from stemkit.datasets import make_llzo_series
from stemkit.drift import DriftDecayAnalysis, warp
from stemkit.io import write_stack
from stemkit.registration import average


@pytest.fixture(scope="module")
def series():
    return make_llzo_series(3, shape=(256, 240), max_rotation=0, max_shear=0, random_state=6)


@pytest.fixture
def paths(tmp_path, series):
    files = [tmp_path / f"{i}.tif" for i in range(3)]
    for path, frame in zip(files, series.frames, strict=True):
        write_stack(path, frame, pixel_size=series.pixel_size)
    return [str(path) for path in files]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


class TruthfulModel:
    """A substitute for the estimator that returns the truth."""

    series = None

    def __init__(self, **parameters):
        type(self).parameters = parameters

    def fit(self, frames):
        return self

    def analyze(self, frames):
        dy, dx = self.series.drift.T
        zero = np.zeros(len(frames))
        table = {"dy": dy, "dx": dx, "rotation_deg": zero, "shear": zero}
        table |= {"stretch": zero, "scale": zero + 1, "mean_damage": zero, "closure": zero}
        table = pd.DataFrame(table | {"confidence": zero + 1})
        return DriftDecayAnalysis(table, self.series.decay, 0 * self.series.decay)

    def transform(self, frames, trajectory):
        return np.stack(
            [
                warp(frame, motion.inverse())
                for frame, motion in zip(frames, self.series.motion, strict=True)
            ]
        )

    def average(self, frames, trajectory):
        return average(frames, self.series.motion, pixel_size=frames.pixel_size)


@pytest.fixture
def true_model(monkeypatch, series):
    monkeypatch.setattr("stemkit.drift.DriftDecayModel", TruthfulModel)
    monkeypatch.setattr(TruthfulModel, "series", series)
    return TruthfulModel
