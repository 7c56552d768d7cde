"""The display of the average of a series, with its coverage and its resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._constraints import check_value
from ..io._conversion import pixel_sides
from ..registration import AveragedSeries
from ._checks import check_axes
from ._images import NO_DATA_COLOR, grey_levels, show_image
from ._scale_bar import add_scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from ..drift import DriftDecayModel

_CURVE_COLOR = "#1f5f99"


class AverageDisplay:
    """The average of a series, how many frames show each pixel, and what it resolves.

    Create one with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    average : AveragedSeries
        As ``DriftDecayModel.average`` or :func:`stemkit.registration.average` returns it. If it has
        a pixel size, the average has a scale bar and frequencies are in 1/nm.

    Attributes
    ----------
    ax_ : ndarray of shape (3,) of matplotlib Axes
        Average, coverage and Fourier ring correlation.
    figure_ : matplotlib Figure
        The figure that holds them.

    Examples
    --------
    >>> from stemkit.datasets import make_llzo_series
    >>> from stemkit.inspection import AverageDisplay
    >>> from stemkit.registration import average
    >>> series = make_llzo_series(4, shape=(192, 192), random_state=0)
    >>> result = average(series.frames, series.motion, pixel_size=series.pixel_size)
    >>> display = AverageDisplay.from_predictions(result)
    >>> [ax.get_title().split(":")[0] for ax in display.ax_]
    ['average of 4 frames', 'frames that show a pixel', 'resolution']

    With a model, drawn into existing axes:

    >>> import matplotlib.pyplot as plt
    >>> from stemkit import DriftDecayModel
    >>> figure, axes = plt.subplots(3, 1)
    >>> display = AverageDisplay.from_estimator(DriftDecayModel(), series.frames)
    >>> display.plot(axes).figure_ is figure
    True
    """

    def __init__(self, average: AveragedSeries) -> None:
        check_value(average, "average", [AveragedSeries])
        self.average = average

    @classmethod
    def from_estimator(
        cls, estimator: DriftDecayModel, X: ArrayLike, **options: Any
    ) -> AverageDisplay:
        """Average a series and plot the result.

        Parameters
        ----------
        estimator : DriftDecayModel
            A fitted model, or one with weights.
        X : FrameStack or array-like of shape (n_frames, H, W)
            The series, in the order of time.
        **options : dict
            Arguments of ``DriftDecayModel.average``, such as ``trajectory`` and ``canvas``.

        Returns
        -------
        AverageDisplay
        """
        return cls.from_predictions(estimator.average(X, **options))

    @classmethod
    def from_predictions(cls, average: AveragedSeries) -> AverageDisplay:
        """Plot what ``DriftDecayModel.average(X)`` returned.

        Parameters
        ----------
        average : AveragedSeries
            As for the class.

        Returns
        -------
        AverageDisplay
        """
        return cls(average).plot()

    @property
    def figure_size(self) -> tuple[float, float]:
        """Width and height in inches of a figure for the three panels."""
        height, width = self.average.mean.shape
        return 11.5, 3.5 * min(max(height / width, 0.6), 2.0) + 0.6

    def plot(self, ax: Any = None) -> AverageDisplay:
        """Draw the three panels.

        Parameters
        ----------
        ax : array-like of three matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        AverageDisplay
            This display, with ``ax_`` and ``figure_`` set.

        Raises
        ------
        ValueError
            If `ax` does not hold three Axes.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(1, 3, figsize=self.figure_size, layout="constrained")
        axes = check_axes(ax, 3, "average, coverage and resolution")
        self.ax_ = axes
        self.figure_ = axes[0].figure
        self._draw_mean(axes[0])
        self._draw_coverage(axes[1])
        self._draw_correlation(axes[2])
        return self

    def _draw_mean(self, ax: Axes) -> None:
        from matplotlib import colormaps

        mean = self.average.mean
        shown = ~np.ma.getmaskarray(mean)
        # Levels are those of what is shown.
        low, high = grey_levels(np.where(shown, mean.data, mean.mean() if shown.any() else 0))
        show_image(
            ax,
            np.ma.masked_array(mean.data, ~shown),
            f"average of {int(self.average.coverage.max())} frames",
            cmap=colormaps["gray"].with_extremes(bad=NO_DATA_COLOR),
            vmin=low,
            vmax=high,
        )
        if self.average.pixel_size is not None:
            add_scale_bar(ax, self.average.pixel_size)

    def _draw_coverage(self, ax: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        most = max(int(self.average.coverage.max()), 1)
        drawn = show_image(
            ax,
            self.average.coverage,
            "frames that show a pixel",
            cmap="viridis",
            vmin=0,
            vmax=most,
        )
        if self.average.pixel_size is not None:
            side_y, side_x = pixel_sides(self.average.pixel_size)
            ax.set_aspect(side_y / side_x)
        bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.9, pad=0.02)
        bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        bar.outline.set_visible(False)

    def _draw_correlation(self, ax: Axes) -> None:
        frc, resolution = self.average.frc, self.average.resolution
        nm = self.average.resolution_nm
        column, unit = ("frequency", "px") if nm is None else ("frequency_per_nm", "nm")
        ax.plot(frc[column], frc["correlation"], color=_CURVE_COLOR, lw=1.2)
        ax.axhline(0, color="0.8", lw=0.8, zorder=0)
        # Read from the table, which is empty without two halves.
        for threshold in frc["threshold"].iloc[:1]:
            ax.axhline(threshold, color="0.4", lw=0.8, ls="--")
            ax.annotate(
                "1/7",
                (0.99, threshold),
                xycoords=("axes fraction", "data"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="right",
                fontsize="small",
                color="0.4",
            )
        title = "resolution: not determined"
        if np.isfinite(resolution):
            length = resolution if nm is None else nm
            ax.axvline(1 / length, color="#ffb000", lw=1.2, zorder=0)
            title = f"resolution: {length:.3g} {unit}"
        ax.set(
            xlabel=f"spatial frequency (1/{unit})",
            ylabel="correlation of the halves",
            ylim=(-0.25, 1.05),
        )
        ax.set_xlim(left=0)
        ax.set_title(title, fontsize="medium")
        ax.spines[["top", "right"]].set_visible(False)
