"""The display of a camera's measured noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._constraints import Interval, check_value
from ._checks import check_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stemkit.noise import NoiseCalibration

_MEASURED_COLOR = "#1f5f99"
_MODEL_COLOR = "#c2571a"
_COLUMN_COLOR = "0.45"
_HISTOGRAM_EDGE = 4.5  # standard deviations; of a million normal numbers, seven lie beyond


class NoiseCalibrationDisplay:
    """Noise of a camera: its two distributions, and its standard deviation against intensity.

    This is figure 3 (b) to (d) of the paper that describes the model [1]_, for any camera. Create
    one with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    calibration : NoiseCalibration
        ``calibration_`` of a calibrated simulator.
    sequence : int, default=0
        Index of the sequence whose distributions are drawn.

    Attributes
    ----------
    ax_ : ndarray of shape (3,) of matplotlib Axes
        Distribution of the pointwise noise, distribution of the means of columns, and standard
        deviation against intensity.
    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    stemkit.noise.HRTEMNoise : Measures a camera.

    References
    ----------
    .. [1] H. Li, Z. Wu, R. Shao and Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
       High-Resolution Transmission Electron Microscopy Imaging", CVPR 2026.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.inspection import NoiseCalibrationDisplay
    >>> from stemkit.noise import HRTEMNoise
    >>> camera = HRTEMNoise(random_state=0)
    >>> vacuum = [camera.fit_transform(np.full((8, 32, 32), level)) for level in (50, 100)]
    >>> display = NoiseCalibrationDisplay.from_estimator(HRTEMNoise().fit(vacuum))
    >>> display.ax_[2].get_xlabel()
    'intensity (counts)'

    Another sequence, drawn into existing axes:

    >>> import matplotlib.pyplot as plt
    >>> figure, axes = plt.subplots(1, 3)
    >>> display = NoiseCalibrationDisplay.from_predictions(display.calibration, sequence=1)
    >>> display.plot(axes).figure_ is figure
    True
    """

    def __init__(self, calibration: NoiseCalibration, *, sequence: int = 0) -> None:
        n_sequences = len(calibration.sequences)
        check_value(sequence, "sequence", [Interval(int, -n_sequences, n_sequences - 1)])
        self.calibration = calibration
        self.sequence = sequence

    @classmethod
    def from_estimator(cls, estimator: Any, **options: Any) -> NoiseCalibrationDisplay:
        """Plot the calibration of a simulator. The parameters are those of the class.

        Parameters
        ----------
        estimator : HRTEMNoise or PoissonGaussianNoise
            Fitted to sequences of exposures.
        **options : dict
            Parameters of the class.

        Returns
        -------
        NoiseCalibrationDisplay

        Raises
        ------
        ValueError
            If the simulator was not calibrated.
        """
        calibration = getattr(estimator, "calibration_", None)
        if calibration is None:
            raise ValueError(
                f"{type(estimator).__name__} has no calibration to draw; fit it to sequences of "
                f"exposures first: fit([stack, stack, ...])."
            )
        return cls.from_predictions(calibration, **options)

    @classmethod
    def from_predictions(
        cls, calibration: NoiseCalibration, **options: Any
    ) -> NoiseCalibrationDisplay:
        """Plot a calibration. The parameters are those of the class.

        Parameters
        ----------
        calibration : NoiseCalibration
            ``calibration_`` of a calibrated simulator.
        **options : dict
            Further parameters of the class.

        Returns
        -------
        NoiseCalibrationDisplay
        """
        return cls(calibration, **options).plot()

    def plot(self, ax: Any = None) -> NoiseCalibrationDisplay:
        """Draw the three panels.

        Parameters
        ----------
        ax : array-like of three matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        NoiseCalibrationDisplay
            This display, with ``ax_`` and ``figure_`` set.

        Raises
        ------
        ValueError
            If `ax` does not hold three Axes.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(
                1, 3, figsize=(11, 3.5), layout="constrained", width_ratios=[1, 1, 1.35]
            )
        axes = check_axes(ax, 3, "two distributions and the standard deviation")
        self.ax_ = axes
        self.figure_ = axes[0].figure
        table = self.calibration.sequences.iloc[self.sequence]
        level = f"at {table['intensity']:.0f} counts"
        pointwise, columns = self.calibration.pointwise, self.calibration.columns
        # A Poisson model tests its own distribution, which is not normal at few electrons.
        distribution = "normal" if self.calibration.model == "HRTEMNoise" else "Poisson"
        self._draw_distribution(
            axes[0],
            pointwise[self.sequence],
            f"pointwise noise {level}",
            f"{distribution}?\nKS p = {table['ks_pointwise']:.2g}",
        )
        self._draw_distribution(
            axes[1],
            columns[self.sequence],
            f"column noise {level}",
            f"normal?\nKS p = {table['ks_columns']:.2g}",
        )
        axes[0].set_ylabel("density")
        self._draw_standard_deviation(axes[2])
        for panel in axes:
            panel.spines[["top", "right"]].set_visible(False)
        return self

    def _draw_distribution(self, ax: Axes, values: Any, title: str, test: str) -> None:
        # Scott's rule for the width of bins, which assumes a normal distribution.
        width = 3.49 * len(values) ** (-1 / 3)
        edges = np.arange(-_HISTOGRAM_EDGE, _HISTOGRAM_EDGE + width, width).tolist()
        ax.hist(values, edges, density=True, color=_MEASURED_COLOR, alpha=0.45)
        x = np.linspace(-_HISTOGRAM_EDGE, _HISTOGRAM_EDGE, 301)
        normal = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        ax.plot(x, normal, color=_MODEL_COLOR, lw=1.5)
        ax.text(1.35, 0.25, "normal", color=_MODEL_COLOR)
        ax.set(xlabel="noise (standard deviations)", yticks=[0, 0.2, 0.4], ylim=(0, 0.46))
        ax.set_title(title, fontsize="medium")
        ax.text(0.03, 0.96, test, transform=ax.transAxes, va="top")

    def _draw_standard_deviation(self, ax: Axes) -> None:
        points, fit = self.calibration.points, self.calibration.fit
        intensity = np.linspace(points["intensity"].min(), points["intensity"].max(), 200)
        linear = fit.slope * intensity + fit.intercept
        sign = "+" if fit.intercept >= 0 else "−"
        if self.calibration.model == "HRTEMNoise":
            sigma = linear
            equation = rf"$\sigma_p$ = {fit.slope:.4g} $I$ {sign} {abs(fit.intercept):.4g}"
        else:
            sigma = np.sqrt(np.maximum(linear, 0))
            equation = rf"$\sigma_p^2$ = {fit.slope:.4g} $I$ {sign} {abs(fit.intercept):.4g}"
        ax.plot(intensity, sigma, color=_MODEL_COLOR, lw=1.5, label=equation)
        bars: dict[str, Any] = {"fmt": "o", "ms": 4, "lw": 1, "capsize": 2}
        ax.errorbar(
            points["intensity"],
            points["sigma"],
            points["sigma_stderr"],
            color=_MEASURED_COLOR,
            label="pointwise",
            **bars,
        )
        sequences = self.calibration.sequences
        ax.axhline(self.calibration.column_sigma, color=_COLUMN_COLOR, lw=1)
        ax.errorbar(
            sequences["intensity"],
            sequences["column_sigma"],
            sequences["column_stderr"],
            color=_COLUMN_COLOR,
            label=rf"column, $\sigma_c$ = {self.calibration.column_sigma:.3g}",
            **{**bars, "fmt": "s"},
        )
        ax.set(xlabel="intensity (counts)", ylabel="standard deviation (counts)")
        ax.set_ylim(0, 1.35 * points["sigma"].max())
        ax.set_title(self.calibration.verdict.replace(", ", ",\n"), fontsize="medium")
        ax.legend(frameon=False, fontsize="small", loc="upper left")
