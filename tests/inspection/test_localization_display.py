import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stemkit import AtomLocator
from stemkit.inspection import LocalizationDisplay
from stemkit.io import FrameStack

from ..labelled_arrays import data_array

TRUE = np.array([[10.0, 12.0], [30.0, 40.0], [50.0, 20.0]])
FOUND = pd.DataFrame(
    {"y": [10.5, 31.0, 5.0], "x": [12.0, 40.5, 55.0], "y_err": 0.1, "x_err": 0.2, "sigma": 1.5}
)
IN_NM = {"y": (0.1 * np.arange(64), "nm"), "x": (0.1 * np.arange(60), "nm")}


@pytest.fixture
def frame():
    y, x = np.indices((64, 60))
    atoms = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * 1.5**2)) for a, b in TRUE)
    return 50 + 100 * atoms + np.random.default_rng(0).normal(0, 2, atoms.shape)


def circle_positions(ax):
    """Return the positions (y, x) of the circles of each kind."""
    return {
        c.get_label(): np.asarray(c.get_offsets())[:, ::-1]
        for c in ax.collections
        if not c.get_label().startswith("_")
    }


def test_circles_are_at_the_positions_of_atoms(frame):
    ax = LocalizationDisplay.from_predictions(frame, FOUND, truth=TRUE).ax_
    circles = circle_positions(ax)
    np.testing.assert_array_equal(circles["found"], FOUND[["y", "x"]][:2])
    np.testing.assert_array_equal(circles["false positive"], FOUND[["y", "x"]][2:])
    np.testing.assert_array_equal(circles["missed"], TRUE[2:])
    assert ax.get_title() == "F1 0.667 within 2 px, 3 true atoms"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["found: 2", "false positive: 1", "missed: 1"]
    np.testing.assert_array_equal(ax.images[0].get_array(), frame.astype(np.float32))
    assert ax.get_xlim() == (-0.5, 59.5)
    assert ax.get_ylim() == (63.5, -0.5)


def test_bars_are_the_standard_errors(frame):
    ax = LocalizationDisplay.from_predictions(frame, FOUND).ax_
    across, along = (np.array(bars.get_segments()) for bars in ax.containers[0].lines[2])
    np.testing.assert_allclose(np.ptp(across[..., 0], axis=1), 2 * 0.2)
    np.testing.assert_allclose(np.ptp(along[..., 1], axis=1), 2 * 0.1)
    assert ax.get_title() == "3 atoms"
    assert set(circle_positions(ax)) == {"found"}


def test_positions_come_from_the_locator(frame):
    locator = AtomLocator(sigma=1.5, threshold=40.0).fit(frame[None])
    display = LocalizationDisplay.from_estimator(locator, frame, truth=TRUE, pixel_size=0.1)
    np.testing.assert_allclose(circle_positions(display.ax_)["found"], TRUE, atol=0.2)
    assert display.ax_.get_title().startswith("F1 1.000")
    assert "1 nm" in [text.get_text() for text in display.ax_.texts]
    _, ax = plt.subplots()
    assert LocalizationDisplay(frame, FOUND.iloc[:0], truth=[]).plot(ax).ax_ is ax


def test_a_frame_with_a_pixel_size_has_a_scale_bar(frame):
    locator = AtomLocator(sigma=1.5, threshold=40.0).fit(frame[None])
    for known in (FrameStack(frame[None], 0.1), data_array(frame, ("y", "x"), **IN_NM)):
        display = LocalizationDisplay.from_estimator(locator, known)
        np.testing.assert_array_equal(display.frame, frame.astype(np.float32))
        assert [text.get_text() for text in display.ax_.texts] == ["1 nm"]
    assert LocalizationDisplay(known, FOUND, pixel_size=3).pixel_size == 3
    with pytest.raises(ValueError, match=r"frame has shape \(2, 64, 60\)"):
        LocalizationDisplay(FrameStack(np.stack([frame, frame])), FOUND)


def test_errors_name_the_argument(frame):
    with pytest.raises(
        ValueError, match=r"atoms has atoms of 3 frames, .* atoms\[atoms\['frame'\] == i"
    ):
        LocalizationDisplay(frame, FOUND.assign(frame=[0, 1, 2]))
    with pytest.raises(ValueError, match="pixel_size must be a finite number of nm above 0"):
        LocalizationDisplay(frame, FOUND, pixel_size=-1)
    with pytest.raises(ValueError, match=r"atoms lacks column\(s\) x"):
        LocalizationDisplay(frame, FOUND[["y"]])
    with pytest.raises(ValueError, match="tolerance must be a finite number of px of at least 0"):
        LocalizationDisplay(frame, FOUND, tolerance="near")
    with pytest.raises(ValueError, match=r"frame has shape \(1, 64, 60\).* as frame\[0\]"):
        LocalizationDisplay(frame[None], FOUND)
    with pytest.raises(ValueError, match=r"pass one frame of the stack, as frame\[0\]"):
        LocalizationDisplay.from_estimator(AtomLocator(), frame[None])
