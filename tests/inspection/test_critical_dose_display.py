import matplotlib.pyplot as plt
import numpy as np
import pytest

from stemkit.damage import BandCriticalDose, fit_critical_dose
from stemkit.inspection import CriticalDoseDisplay

INF = np.inf


@pytest.fixture
def bands():
    """Return bands that are known, known, lost at once, not damaged, and not measured."""
    return BandCriticalDose(
        frequency=np.array([0.04, 0.06, 0.1, 0.2, 0.3]),
        dose=np.array([12.0, 10.0, 0.1, INF, INF]),
        stderr=np.array([1.0, 2.0, 5.0, INF, INF]),
        lower_limit=np.array([10.0, 7.0, 0.0, 80.0, 0.0]),
        upper_limit=np.array([14.0, 14.0, 0.5, INF, INF]),
        kind="common",
    )


def points(ax):
    return {line.get_marker(): np.stack(line.get_data()).T for line in ax.lines}


def test_bands_have_error_bars_or_limits(bands):
    ax = CriticalDoseDisplay.from_predictions(bands, unit="e per px").ax_
    drawn = points(ax)
    np.testing.assert_array_equal(drawn["o"], [[0.04, 12], [0.06, 10]])
    np.testing.assert_array_equal(drawn["^"], [[0.2, 80]])
    np.testing.assert_array_equal(drawn["v"], [[0.1, 0.5]])
    (bars,) = ax.collections
    ends = [segment[:, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[11, 13], [8, 12]])
    assert ax.get_ylabel() == "critical dose (e per px)"
    assert "common" in ax.get_title()
    low, high = ax.get_ylim()
    assert low < 0.5 < 80 < high


def test_nothing_measured_is_said(bands):
    unknown = np.full(5, INF)
    nothing = BandCriticalDose(
        bands.frequency, unknown, unknown, np.zeros(5), unknown, "undetermined"
    )
    (text,) = CriticalDoseDisplay.from_predictions(nothing).ax_.texts
    assert text.get_text() == "no band can be measured"


def test_places_of_a_map_without_a_certain_decay_are_grey():
    dose = np.arange(5.0)
    decay = np.ones((5, 6, 8))
    decay[:, :, :4] = np.exp(-dose / 3)[:, None, None]
    critical = fit_critical_dose(decay, dose, stderr=np.full(decay.shape, 0.02))
    display = CriticalDoseDisplay.from_predictions(critical)
    (image,) = display.ax_.images
    mask = np.ma.getmaskarray(image.get_array())
    assert mask[:, 4:].all()
    assert not mask[:, :4].any()
    assert f"above {critical.lower_limit[0, 7]:.3g}" in display.ax_.get_title()
    display.figure_.canvas.draw()


def test_a_map_where_nothing_decays_is_drawn():
    critical = fit_critical_dose(np.ones((4, 5, 5)), np.arange(4.0))
    CriticalDoseDisplay.from_predictions(critical).figure_.canvas.draw()


def test_existing_axes_are_used(bands):
    _, ax = plt.subplots()
    assert CriticalDoseDisplay(bands).plot(ax).ax_ is ax
    with pytest.raises(ValueError, match="ax must hold one Axes"):
        CriticalDoseDisplay(bands).plot([ax, ax])


def test_errors_name_the_argument(bands):
    with pytest.raises(ValueError, match="critical must be"):
        CriticalDoseDisplay(bands.dose)
    with pytest.raises(ValueError, match="unit must be"):
        CriticalDoseDisplay(bands, unit=3)
