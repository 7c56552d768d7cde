"""Tests of all displays: their two constructors, their labels, and that only plot draws."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stemkit import inspection
from stemkit.damage import BandCriticalDose
from stemkit.drift import Motion
from stemkit.noise import HRTEMNoise
from stemkit.registration import average

from ..registration.drifting_series import record, walk

FRAME = np.random.default_rng(0).normal(100, 5, (24, 32)).astype(np.float32)
PAIR = np.stack([FRAME, FRAME[::-1]])
STATE = SimpleNamespace(
    motion=Motion(FRAME.shape, (2, -1)),
    damage=np.full(FRAME.shape, 0.3),
    decay_stderr=None,
    confidence=0.8,
    t=1.0,
)
ATOMS = pd.DataFrame({"y": [3.0, 9.0], "x": [5.0, 20.0]})
HISTORY = pd.DataFrame({"lr": [1e-3, 1e-4], "train_loss": [1.0, 0.3]})
TRAJECTORY = pd.DataFrame(
    {"dy": [0.0, 2.0], "dx": [0.0, -1.0], "mean_damage": [0.0, 0.3], "confidence": [1.0, 0.8]}
)


@pytest.fixture(scope="module")
def arguments():
    """Return for each display the arguments of from_estimator and of from_predictions."""
    camera = HRTEMNoise(random_state=0)
    noise = HRTEMNoise().fit(
        [camera.fit_transform(np.full((6, 32, 32), level)) for level in (40, 120, 360)]
    )
    denoiser = SimpleNamespace(predict=lambda X: X / 2)
    model = SimpleNamespace(predict=lambda pair, t: STATE, trajectory=lambda X: TRAJECTORY)
    series = record(walk(4, (40, 48)), 30)
    result = average(series.frames, series.motions)
    model.average = lambda X: result
    critical = BandCriticalDose(*np.full((5, 3), 2.0), kind="common")
    bands = SimpleNamespace(critical_dose=lambda dose: critical)
    model.decay_bands = lambda X: bands
    return {
        "CriticalDoseDisplay": ((model, PAIR, [0, 1]), (critical,)),
        "AverageDisplay": ((model, PAIR), (result,)),
        "DenoisingDisplay": ((denoiser, FRAME), (FRAME, FRAME / 2)),
        "DriftDecayDisplay": ((model, PAIR), (PAIR, STATE)),
        "HistoryDisplay": ((SimpleNamespace(history_=HISTORY),), (HISTORY,)),
        "LocalizationDisplay": (
            (SimpleNamespace(predict=lambda X: ATOMS.assign(frame=0)), FRAME),
            (FRAME, ATOMS),
        ),
        "NoiseCalibrationDisplay": ((noise,), (noise.calibration_,)),
        "TrajectoryDisplay": ((model, PAIR), (TRAJECTORY,)),
    }


def content(display):
    """Return everything that is drawn into the axes."""
    return [
        (
            ax.get_title(),
            ax.get_xlabel(),
            ax.get_ylabel(),
            ax.get_xlim(),
            ax.get_ylim(),
            [np.round(line.get_xydata(), 9).tolist() for line in ax.lines],
            [np.asarray(image.get_array()).tolist() for image in ax.images],
            len(ax.patches),
        )
        for ax in np.ravel(display.ax_)
    ]


@pytest.mark.parametrize("name", inspection.__all__)
def test_both_constructors_draw_the_same_figure(arguments, name):
    cls = getattr(inspection, name)
    with_estimator, with_predictions = arguments[name]
    one = cls.from_estimator(*with_estimator)
    other = cls.from_predictions(*with_predictions)
    assert isinstance(one, cls)
    assert content(one) == content(other)
    assert one.figure_ is not other.figure_
    assert all(ax.figure is one.figure_ for ax in np.ravel(one.ax_))


@pytest.mark.parametrize("name", inspection.__all__)
def test_axes_of_curves_are_labelled(arguments, name):
    display = getattr(inspection, name).from_estimator(*arguments[name][0])
    for ax in np.ravel(display.ax_):
        if ax.images:  # frames have a scale bar instead, which their displays test
            continue
        assert ax.get_xlabel()
        assert ax.get_ylabel() or ax is not np.ravel(display.ax_)[0]
    display.figure_.canvas.draw()


@pytest.mark.parametrize("name", sorted({*inspection.__all__} - {"DriftDecayDisplay"}))
def test_nothing_is_drawn_before_plot(arguments, name):
    display = getattr(inspection, name)(*arguments[name][1])
    assert not plt.get_fignums()
    assert not hasattr(display, "ax_")
    assert display.plot() is display
    assert len(plt.get_fignums()) == 1
