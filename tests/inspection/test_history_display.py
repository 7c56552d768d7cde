import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from stemkit.denoise import GaussianDenoiser, NetworkDenoiser, SplitPairs
from stemkit.inspection import HistoryDisplay

HISTORY = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "lr": [1e-3, 8e-4, 2e-4],
        "train_loss": [1.0, 0.5, 0.4],
        "train_tv": [0.1, 0.05, 0.04],
        "val_loss": [1.1, 0.6, 0.7],
    }
)


def data_of_lines(ax):
    return {line.get_label(): np.stack(line.get_data()) for line in ax.lines}


def test_lines_are_the_columns_of_the_history():
    display = HistoryDisplay.from_predictions(HISTORY)
    losses, rate = display.ax_
    drawn = data_of_lines(losses)
    assert set(drawn) == {"training", "train tv", "validation", "best"}
    np.testing.assert_array_equal(drawn["training"], [[1, 2, 3], HISTORY["train_loss"]])
    np.testing.assert_array_equal(drawn["validation"][1], HISTORY["val_loss"])
    np.testing.assert_array_equal(drawn["best"].ravel(), [2, 0.6])
    assert losses.get_yscale() == "log"
    np.testing.assert_array_equal(rate.lines[0].get_ydata(), HISTORY["lr"])
    assert (rate.get_xlabel(), rate.get_ylabel()) == ("epoch", "learning rate")
    assert "best" in [text.get_text() for text in losses.get_legend().get_texts()]


def test_negative_losses_have_a_linear_axis():
    display = HistoryDisplay.from_predictions(HISTORY.assign(train_loss=[1.0, -0.5, 0.0]))
    assert display.ax_[0].get_yscale() == "linear"


def test_history_of_denoisers_wrappers_and_pipelines():
    X = np.random.default_rng(0).random((2, 16, 16))
    unet = NetworkDenoiser(
        network_parameters={"n_channels": 2}, max_epochs=2, device="cpu", random_state=0
    ).fit(X, X)
    pairs = SplitPairs(denoiser=unet).fit(X, X)
    for model in (unet, pairs, make_pipeline(pairs)):
        drawn = data_of_lines(HistoryDisplay.from_estimator(model).ax_[0])
        assert len(drawn["training"][0]) == 2
    with pytest.raises(ValueError, match="GaussianDenoiser has no history to draw; fit an"):
        HistoryDisplay.from_estimator(GaussianDenoiser().fit(X))


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="lacks column"):
        HistoryDisplay.from_predictions(HISTORY[["epoch", "lr"]])
    with pytest.raises(ValueError, match="history must be a DataFrame"):
        HistoryDisplay.from_predictions([1.0, 0.5])
    with pytest.raises(ValueError, match="two Axes"):
        HistoryDisplay(HISTORY).plot(plt.subplots()[1])
