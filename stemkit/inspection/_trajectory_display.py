"""The display of drift and damage over a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._constraints import Interval, check_value
from ._checks import check_axes, check_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from ..drift import DriftDecayModel

_ESTIMATE_COLOR = "#1f5f99"
# Above the estimate and larger, since good estimates would hide the truth.
_TRUTH: dict[str, Any] = {
    "color": "0.55",
    "linestyle": "",
    "marker": "x",
    "markersize": 10,
    "zorder": 3,
}


class TrajectoryDisplay:
    """Drift over a series as a path, and damage against the frame number.

    Create one with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    trajectory : DataFrame
        One row per frame with the columns ``dy``, ``dx`` (px), ``mean_damage`` and ``confidence``,
        as ``DriftDecayModel.trajectory`` returns it.
    truth : DataFrame, optional
        True ``dy`` and ``dx``, and ``mean_damage`` if known.
    low_confidence : float, default=0.5
        Frames with a lower confidence are drawn as hollow markers.

    Attributes
    ----------
    ax_ : ndarray of shape (2,) of matplotlib Axes
        Path and damage.
    figure_ : matplotlib Figure
        The figure that holds them.

    Examples
    --------
    >>> import pandas as pd
    >>> from stemkit.inspection import TrajectoryDisplay
    >>> table = pd.DataFrame(
    ...     {"dy": [0, 1], "dx": [0, 2], "mean_damage": [0.0, 0.3], "confidence": [1.0, 0.9]}
    ... )
    >>> display = TrajectoryDisplay.from_predictions(table)
    >>> display.ax_[1].get_ylabel()
    'mean damage'

    Of a series, drawn into existing axes:

    >>> import matplotlib.pyplot as plt
    >>> from stemkit import DriftDecayModel
    >>> from stemkit.datasets import make_llzo_series
    >>> series = make_llzo_series(2, shape=(64, 64), random_state=0)
    >>> figure, axes = plt.subplots(2, 1)
    >>> display = TrajectoryDisplay.from_estimator(DriftDecayModel(), series.frames)
    >>> display.plot(axes).figure_ is figure
    True
    """

    def __init__(
        self,
        trajectory: pd.DataFrame,
        *,
        truth: pd.DataFrame | None = None,
        low_confidence: float = 0.5,
    ) -> None:
        check_table(trajectory, "trajectory", ("dy", "dx", "mean_damage", "confidence"))
        check_value(low_confidence, "low_confidence", [Interval(float, 0, 1)])
        self.trajectory = trajectory
        self.truth = truth
        self.low_confidence = low_confidence

    @classmethod
    def from_estimator(
        cls, estimator: DriftDecayModel, X: ArrayLike, **options: Any
    ) -> TrajectoryDisplay:
        """Estimate the trajectory of a series and plot it.

        Parameters
        ----------
        estimator : DriftDecayModel
            A fitted model, or one with weights.
        X : array-like of shape (n_frames, H, W)
            The series, in the order of time.
        **options : dict
            Further parameters of the class.

        Returns
        -------
        TrajectoryDisplay
        """
        return cls.from_predictions(estimator.trajectory(X), **options)

    @classmethod
    def from_predictions(cls, trajectory: pd.DataFrame, **options: Any) -> TrajectoryDisplay:
        """Plot what ``DriftDecayModel.trajectory(X)`` returned.

        Parameters
        ----------
        trajectory : DataFrame
            As for the class.
        **options : dict
            Further parameters of the class.

        Returns
        -------
        TrajectoryDisplay
        """
        return cls(trajectory, **options).plot()

    def plot(self, ax: Any = None) -> TrajectoryDisplay:
        """Draw both panels.

        Parameters
        ----------
        ax : array-like of two matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        TrajectoryDisplay
            This display, with ``ax_`` and ``figure_`` set.

        Raises
        ------
        ValueError
            If `ax` does not hold two Axes.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(1, 2, figsize=(8.6, 3.8), layout="constrained")
        axes = check_axes(ax, 2, "path and damage")
        self.ax_ = axes
        self.figure_ = axes[0].figure
        self._draw_path(axes[0])
        self._draw_damage(axes[1])
        for panel in axes:
            panel.spines[["top", "right"]].set_visible(False)
        return self

    def _draw_path(self, ax: Axes) -> None:
        if self.truth is not None:
            ax.plot(self.truth["dx"], self.truth["dy"], label="truth", **_TRUTH)
        self._draw_line(ax, self.trajectory["dx"].to_numpy(), self.trajectory["dy"].to_numpy())
        for number, (_, row) in enumerate(self.trajectory.iterrows()):
            ax.annotate(
                str(number),
                (row["dx"], row["dy"]),
                xytext=(5, 4),
                textcoords="offset points",
                fontsize="small",
            )
        ax.set(xlabel="dx (px)", ylabel="dy (px)")
        ax.set_title("drift since the first frame", fontsize="medium")
        ax.set_aspect("equal", adjustable="datalim")
        ax.margins(0.12)
        ax.yaxis.set_inverted(True)  # y increases downwards, as in images
        ax.legend(frameon=False, fontsize="small")

    def _draw_damage(self, ax: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        numbers = np.arange(len(self.trajectory))
        if self.truth is not None and "mean_damage" in self.truth:
            ax.plot(numbers, self.truth["mean_damage"], **_TRUTH)
        self._draw_line(ax, numbers, self.trajectory["mean_damage"].to_numpy())
        ax.set(xlabel="frame", ylabel="mean damage", ylim=(-0.03, 1.03))
        ax.set_title("damage since the first frame", fontsize="medium")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))

    def _draw_line(self, ax: Axes, x: Any, y: Any) -> None:
        confident = self.trajectory["confidence"].to_numpy() >= self.low_confidence
        ax.plot(x, y, color=_ESTIMATE_COLOR, lw=1, label="estimate")
        ax.plot(x[confident], y[confident], "o", color=_ESTIMATE_COLOR, ms=5)
        if not confident.all():
            ax.plot(
                x[~confident],
                y[~confident],
                "o",
                color=_ESTIMATE_COLOR,
                mfc="white",
                label="low confidence",
            )
