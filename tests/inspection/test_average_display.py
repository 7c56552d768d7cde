import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from stemkit.exceptions import ResolutionWarning
from stemkit.inspection import AverageDisplay
from stemkit.registration import Motion, average

from ..registration.drifting_series import record, walk


@pytest.fixture(scope="module")
def result():
    series = record(walk(5, (48, 64), step=(4, 6)), 60)
    return average(series.frames, series.motions, canvas="union", pixel_size=0.05)


def test_the_average_is_drawn_where_there_is_data(result):
    ax = AverageDisplay.from_predictions(result).ax_[0]
    image = ax.images[0]
    np.testing.assert_array_equal(image.get_array().mask, result.coverage == 0)
    # Pixels without data are neither black nor white.
    assert image.cmap(np.ma.masked) == to_rgba("0.5")
    low, high = image.get_clim()
    assert result.mean.min() <= low < result.mean.mean() < high <= result.mean.max()
    assert ax.get_title() == "average of 5 frames"
    assert [text.get_text() for text in ax.texts] == ["1 nm"]


def test_the_coverage_starts_at_no_frames(result):
    ax = AverageDisplay.from_predictions(result).ax_[1]
    np.testing.assert_array_equal(ax.images[0].get_array(), result.coverage)
    assert ax.images[0].get_clim() == (0, 5)


def test_the_resolution_is_marked_in_nm(result):
    ax = AverageDisplay.from_predictions(result).ax_[2]
    curve, *_, mark = ax.lines
    np.testing.assert_allclose(curve.get_xdata(), result.frc["frequency"] / 0.05)
    np.testing.assert_allclose(mark.get_xdata(), 1 / (0.05 * result.resolution))
    assert ax.get_title() == f"resolution: {0.05 * result.resolution:.3g} nm"
    assert ax.get_xlabel() == "spatial frequency (1/nm)"


def test_without_a_pixel_size_frequencies_are_in_pixels():
    series = record(walk(4, (48, 64)), 60)
    display = AverageDisplay.from_predictions(average(series.frames, series.motions))
    assert display.ax_[2].get_xlabel() == "spatial frequency (1/px)"
    assert not display.ax_[0].texts


def test_a_single_frame_has_no_curve():
    motions = [Motion((40, 40))]
    with pytest.warns(ResolutionWarning):
        single = average(record(motions, 20).frames, motions)
    ax = AverageDisplay.from_predictions(single).ax_[2]
    assert ax.get_title() == "resolution: not determined"
    assert ax.lines[0].get_xdata().size == 0


def test_existing_axes_are_used(result):
    figure, axes = plt.subplots(3, 1)
    assert AverageDisplay(result).plot(axes).figure_ is figure
    with pytest.raises(ValueError, match="ax must hold three Axes"):
        AverageDisplay(result).plot(axes[0])
    with pytest.raises(ValueError, match="average must be an AveragedSeries"):
        AverageDisplay(result.mean)
