"""What all displays share: two ways to make one, and nothing is drawn before it is asked for."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stemkit import inspection
from stemkit.drift import Motion
from stemkit.noise import HRTEMNoise

FRAME = np.random.default_rng(0).normal(100, 5, (24, 32)).astype(np.float32)
PAIR = np.stack([FRAME, FRAME[::-1]])
STATE = SimpleNamespace(
    motion=Motion(FRAME.shape, (2, -1)), damage=np.full(FRAME.shape, 0.3), confidence=0.8, t=1.0
)
ATOMS = pd.DataFrame({"y": [3.0, 9.0], "x": [5.0, 20.0]})
HISTORY = pd.DataFrame({"lr": [1e-3, 1e-4], "train_loss": [1.0, 0.3]})
TRAJECTORY = pd.DataFrame(
    {"dy": [0.0, 2.0], "dx": [0.0, -1.0], "mean_damage": [0.0, 0.3], "confidence": [1.0, 0.8]}
)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def ways():
    """For each display an estimator with what it is given, and what that estimator says."""
    camera = HRTEMNoise(random_state=0)
    noise = HRTEMNoise().fit(
        [camera.fit_transform(np.full((6, 32, 32), level)) for level in (40, 120, 360)]
    )
    denoiser = SimpleNamespace(predict=lambda X: X / 2)
    model = SimpleNamespace(predict=lambda pair, t: STATE, trajectory=lambda X: TRAJECTORY)
    return {
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


def drawn(display):
    """Tell all that can be read off the axes."""
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
def test_an_estimator_and_what_it_says_give_one_figure(ways, name):
    cls = getattr(inspection, name)
    asked, told = ways[name]
    one, other = cls.from_estimator(*asked), cls.from_predictions(*told)
    assert isinstance(one, cls)
    assert drawn(one) == drawn(other)
    assert one.figure_ is not other.figure_
    assert all(ax.figure is one.figure_ for ax in np.ravel(one.ax_))


@pytest.mark.parametrize("name", inspection.__all__)
def test_every_curve_says_what_it_shows_and_in_what_unit(ways, name):
    display = getattr(inspection, name).from_estimator(*ways[name][0])
    for ax in np.ravel(display.ax_):
        if ax.images:  # pixels, with the scale bar that the displays of frames are tested for
            continue
        assert ax.get_xlabel()
        assert ax.get_ylabel() or ax is not np.ravel(display.ax_)[0]
    display.figure_.canvas.draw()


@pytest.mark.parametrize("name", sorted({*inspection.__all__} - {"DriftDecayDisplay"}))
def test_nothing_is_drawn_before_plot(ways, name):
    display = getattr(inspection, name)(*ways[name][1])
    assert not plt.get_fignums()
    assert not hasattr(display, "ax_")
    assert display.plot() is display
    assert len(plt.get_fignums()) == 1
