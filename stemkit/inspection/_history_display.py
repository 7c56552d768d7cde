from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COLORS = {"train_loss": "#1f5f99", "val_loss": "#c2571a"}
_NAMES = {"train_loss": "training", "val_loss": "validation"}


class HistoryDisplay:
    """How the losses of a fit fell, epoch by epoch, and the learning rate beside them.

    Use :meth:`from_estimator` or :meth:`from_predictions` to make one.

    Parameters
    ----------
    history : DataFrame
        One row an epoch with the columns ``lr``, ``train_loss`` and, where there are any,
        ``val_loss`` and the loss's terms, as ``history_`` of an estimator has it.

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

    Of a network that has learned, drawn into axes of one's own:

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
        """Plot how a network learned.

        Parameters
        ----------
        estimator : estimator
            Fitted: one with a ``history_``, or a SplitPairs or Pipeline that holds one.

        Returns
        -------
        HistoryDisplay

        Raises
        ------
        ValueError
            Where the estimator has no history.
        """
        last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
        history = getattr(getattr(last, "denoiser_", last), "history_", None)
        if history is None or len(history) == 0:
            raise ValueError(
                f"{type(last).__name__} has no history to draw; fit one that learns first."
            )
        return cls.from_predictions(history)

    @classmethod
    def from_predictions(cls, history: pd.DataFrame) -> HistoryDisplay:
        """Plot a history that was kept, for instance as csv; the parameter is that of the class.

        Parameters
        ----------
        history : DataFrame
            As ``history_`` of an estimator, or ``history`` of :class:`stemkit.engine.FitResult`.

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
            Where ``ax`` does not hold two axes.
        """
        missing = {"lr", "train_loss"} - set(self.history.columns)
        if missing:
            raise ValueError(f"history lacks column(s) {', '.join(sorted(missing))}.")
        from matplotlib.ticker import MaxNLocator

        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(
                1, 2, figsize=(8.6, 3.4), layout="constrained", width_ratios=[1.7, 1]
            )
        axes = np.ravel(ax)
        if len(axes) != 2:
            raise ValueError(
                f"ax must hold two Axes, for losses and learning rate; got {len(axes)}."
            )
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
        # the losses themselves last, and so above their terms
        columns.sort(key=lambda name: name in _COLORS)
        for number, name in enumerate(columns, start=2):
            main = name in _COLORS
            ax.plot(
                epochs,
                self.history[name],
                color=_COLORS.get(name, f"C{number}"),
                lw=1.8 if main else 0.9,
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
