"""The display of the losses and the learning rate of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_axes, check_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COLORS = {"train_loss": "#1f5f99", "val_loss": "#c2571a"}
_NAMES = {"train_loss": "training", "val_loss": "validation"}


class HistoryDisplay:
    """Losses and learning rate of a fit over its epochs.

    Create one with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    history : DataFrame
        One row per epoch with the columns ``lr`` and ``train_loss`` and, if present, ``val_loss``
        and the terms of the loss, as in ``history_`` of an estimator.

    Attributes
    ----------
    ax_ : ndarray of shape (2,) of matplotlib Axes
        Losses and learning rate.
    figure_ : matplotlib Figure
        The figure that holds them.

    Examples
    --------
    >>> import pandas as pd
    >>> from stemkit.inspection import HistoryDisplay
    >>> history = pd.DataFrame({"lr": [1e-3, 5e-4], "train_loss": [1.0, 0.4]})
    >>> display = HistoryDisplay.from_predictions(history)
    >>> display.ax_[0].get_xlabel()
    'epoch'

    Of a fitted network, drawn into existing axes:

    >>> import matplotlib.pyplot as plt
    >>> from stemkit.datasets import make_nucleation
    >>> from stemkit.denoise import NetworkDenoiser
    >>> data = make_nucleation(2, shape=(16, 16), random_state=0)
    >>> unet = NetworkDenoiser(network_parameters={"n_channels": 2}, max_epochs=2, random_state=0)
    >>> model = unet.fit(data.noisy, data.clean)
    >>> figure, axes = plt.subplots(2, 1)
    >>> HistoryDisplay.from_estimator(model).plot(axes).figure_ is figure
    True
    """

    def __init__(self, history: pd.DataFrame) -> None:
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any) -> HistoryDisplay:
        """Plot the history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted, with a ``history_``; or a SplitPairs or Pipeline that contains one.

        Returns
        -------
        HistoryDisplay

        Raises
        ------
        ValueError
            If the estimator has no history.
        """
        last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
        history = getattr(getattr(last, "denoiser_", last), "history_", None)
        if history is None or len(history) == 0:
            raise ValueError(
                f"{type(last).__name__} has no history to draw; fit an estimator that trains first."
            )
        return cls.from_predictions(history)

    @classmethod
    def from_predictions(cls, history: pd.DataFrame) -> HistoryDisplay:
        """Plot a history, for instance from a csv file. The parameter is that of the class.

        Parameters
        ----------
        history : DataFrame
            From ``history_`` of an estimator, or ``history`` of :class:`stemkit.engine.FitResult`.

        Returns
        -------
        HistoryDisplay
        """
        return cls(history).plot()

    def plot(self, ax: Any = None) -> HistoryDisplay:
        """Draw both panels.

        Parameters
        ----------
        ax : array-like of two matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        HistoryDisplay
            This display, with ``ax_`` and ``figure_`` set.

        Raises
        ------
        ValueError
            If `ax` does not hold two Axes, or the history lacks a column.
        """
        check_table(self.history, "history", ("lr", "train_loss"))
        from matplotlib.ticker import MaxNLocator

        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(
                1, 2, figsize=(8.6, 3.4), layout="constrained", width_ratios=[1.7, 1]
            )
        axes = check_axes(ax, 2, "losses and learning rate")
        self.ax_ = axes
        self.figure_ = axes[0].figure
        epochs = np.arange(1, len(self.history) + 1)
        self._draw_losses(axes[0], epochs)
        axes[1].plot(epochs, self.history["lr"], color="0.45", lw=1.5)
        axes[1].set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
        axes[1].set_title("learning rate", fontsize="medium")
        axes[1].ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        for panel in axes:
            panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            panel.spines[["top", "right"]].set_visible(False)
        return self

    def _draw_losses(self, ax: Axes, epochs: Any) -> None:
        kinds = ("train_", "val_")
        columns = [name for name in self.history.columns if name.startswith(kinds)]
        # The total losses are drawn last, above their terms.
        columns.sort(key=lambda name: name in _COLORS)
        for number, name in enumerate(columns, start=2):
            is_total = name in _COLORS
            ax.plot(
                epochs,
                self.history[name],
                color=_COLORS.get(name, f"C{number}"),
                lw=1.8 if is_total else 0.9,
                ls="-" if name.startswith("train_") else "--",
                marker="o" if len(epochs) < 3 else None,
                label=_NAMES.get(name, name.replace("_", " ", 1)),
            )
        if "val_loss" in self.history:
            best = int(self.history["val_loss"].to_numpy().argmin())
            lowest = self.history["val_loss"].iloc[best]
            ax.plot(epochs[best], lowest, "o", color=_COLORS["val_loss"], label="best")
        positive = (self.history[columns] > 0).all(axis=None)
        ax.set(xlabel="epoch", ylabel="loss", yscale="log" if positive else "linear")
        ax.set_title("loss", fontsize="medium")
        ax.legend(frameon=False, fontsize="small")
