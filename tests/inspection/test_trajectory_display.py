import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stemkit.inspection import TrajectoryDisplay


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "dy": [0.0, 3.0, 5.0],
            "dx": [0.0, -2.0, 4.0],
            "mean_damage": [0.0, 0.2, 0.4],
            "confidence": [1.0, 0.9, 0.1],
        }
    )


def data_of_lines(ax):
    return {line.get_label(): np.stack(line.get_data()) for line in ax.lines}


def test_path_and_damage_are_drawn_frame_by_frame(table):
    path, damage = TrajectoryDisplay.from_predictions(table).ax_
    np.testing.assert_array_equal(data_of_lines(path)["estimate"], table[["dx", "dy"]].T)
    assert path.yaxis_inverted()
    assert [text.get_text() for text in path.texts] == ["0", "1", "2"]
    np.testing.assert_array_equal(data_of_lines(damage)["estimate"][1], table["mean_damage"])


def test_frames_of_low_confidence_are_hollow(table):
    path, _ = TrajectoryDisplay.from_predictions(table).ax_
    np.testing.assert_array_equal(data_of_lines(path)["low confidence"], [[4], [5]])
    path, _ = TrajectoryDisplay.from_predictions(table, low_confidence=0.05).ax_
    assert "low confidence" not in data_of_lines(path)


def test_truth_is_drawn_if_known(table):
    truth = table[["dy", "dx", "mean_damage"]] + 1
    path, damage = TrajectoryDisplay.from_predictions(table, truth=truth).ax_
    np.testing.assert_array_equal(data_of_lines(path)["truth"], truth[["dx", "dy"]].T)
    assert len(damage.lines) == len(path.lines)
    path, damage = TrajectoryDisplay.from_predictions(table, truth=truth[["dy", "dx"]]).ax_
    assert len(damage.lines) == len(path.lines) - 1


def test_existing_axes_are_used(table):
    _, axes = plt.subplots(2, 1)
    display = TrajectoryDisplay(table).plot(axes)
    assert display.ax_[0] is axes[0]
    with pytest.raises(ValueError, match="two Axes"):
        display.plot(axes[0])


def test_errors_name_the_argument(table):
    with pytest.raises(ValueError, match=r"trajectory lacks column\(s\) confidence, dy"):
        TrajectoryDisplay(table[["dx", "mean_damage"]])
    with pytest.raises(ValueError, match="trajectory must be a DataFrame"):
        TrajectoryDisplay(table.to_numpy())
    with pytest.raises(ValueError, match=r"low_confidence must be a finite number in \[0, 1\]"):
        TrajectoryDisplay(table, low_confidence=2)
