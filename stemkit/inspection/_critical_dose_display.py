"""The display of critical doses, by spatial frequency or as a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._constraints import check_value
from ..damage import BandCriticalDose, CriticalDose
from ._checks import check_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from ..drift import DriftDecayModel

_COLOR = "#1f5f99"
_UNKNOWN = "0.8"
_LOWEST, _HIGHEST = 0.7, 1.4


class CriticalDoseDisplay:
    """Critical dose by spatial frequency with error bars and limits, or its map.

    By frequency, bands with a known critical dose are points with error bars of one standard error.
    Where no decay is certain, a triangle that points upwards is the lower limit; where all may be
    lost at once, one that points downwards is the upper limit. On a map, places where no decay is
    certain are grey, and the title gives their median lower limit.

    Create one with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    critical : BandCriticalDose or CriticalDose
        As ``BandDecay.critical_dose`` or ``DriftDecayModel.critical_dose`` returns it.
    unit : str, default="unit of dose"
        Unit of the dose, for the label.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure that holds it.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.damage import decay_bands, fit_critical_dose
    >>> from stemkit.inspection import CriticalDoseDisplay
    >>> from stemkit.registration import Motion
    >>> rng = np.random.default_rng(0)
    >>> specimen, dose = rng.normal(0, 1, (64, 64)), np.arange(5)
    >>> frames = np.exp(-dose / 4)[:, np.newaxis, np.newaxis] * specimen
    >>> frames += rng.normal(0, 0.1, frames.shape)
    >>> bands = decay_bands(frames, [Motion((64, 64))] * 5)
    >>> display = CriticalDoseDisplay.from_predictions(bands.critical_dose(dose))
    >>> display.ax_.get_xlabel()
    'spatial frequency (cycles per px)'

    A map, drawn into existing axes, and a series:

    >>> import matplotlib.pyplot as plt
    >>> from stemkit import DriftDecayModel
    >>> from stemkit.datasets import make_llzo_series
    >>> figure, axes = plt.subplots()
    >>> critical = fit_critical_dose(np.exp(-dose / 4)[:, None, None] * np.ones((5, 8, 8)), dose)
    >>> CriticalDoseDisplay(critical).plot(axes).figure_ is figure
    True
    >>> series = make_llzo_series(4, shape=(256, 256), random_state=0)
    >>> display = CriticalDoseDisplay.from_estimator(DriftDecayModel(), series.frames, series.dose)
    """

    def __init__(
        self, critical: BandCriticalDose | CriticalDose, *, unit: str = "unit of dose"
    ) -> None:
        check_value(critical, "critical", [BandCriticalDose, CriticalDose])
        check_value(unit, "unit", [str])
        self.critical = critical
        self.unit = unit

    @classmethod
    def from_estimator(
        cls, estimator: DriftDecayModel, X: ArrayLike, dose: ArrayLike, **options: Any
    ) -> CriticalDoseDisplay:
        """Estimate the critical dose of a series by spatial frequency, and plot it.

        Parameters
        ----------
        estimator : DriftDecayModel
            A fitted model, or one with weights.
        X : array-like of shape (n_frames, H, W)
            The series.
        dose : array-like of shape (n_frames,)
            Accumulated dose at each frame, increasing.
        **options : dict
            Further parameters of the class.

        Returns
        -------
        CriticalDoseDisplay
        """
        return cls.from_predictions(estimator.decay_bands(X).critical_dose(dose), **options)

    @classmethod
    def from_predictions(
        cls, critical: BandCriticalDose | CriticalDose, **options: Any
    ) -> CriticalDoseDisplay:
        """Plot a critical dose.

        Parameters
        ----------
        critical : BandCriticalDose or CriticalDose
            As for the class.
        **options : dict
            Further parameters of the class.

        Returns
        -------
        CriticalDoseDisplay
        """
        return cls(critical, **options).plot()

    def plot(self, ax: Any = None) -> CriticalDoseDisplay:
        """Draw the critical dose.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        CriticalDoseDisplay
            This display, with ``ax_`` and ``figure_`` set.

        Raises
        ------
        ValueError
            If `ax` is no Axes.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
        self.ax_ = check_axes(ax, 1, "critical dose")[0]
        self.figure_ = self.ax_.figure
        if isinstance(self.critical, BandCriticalDose):
            self._draw_bands(self.ax_, self.critical)
        else:
            self._draw_map(self.ax_, self.critical)
        return self

    def _draw_bands(self, ax: Axes, critical: BandCriticalDose) -> None:
        frequency = critical.frequency
        limited = np.isfinite(critical.upper_limit)
        known = limited & (critical.lower_limit > 0) & np.isfinite(critical.stderr)
        above = ~limited & (critical.lower_limit > 0)
        below = limited & ~known
        shown = np.concatenate(
            [critical.dose[known], critical.lower_limit[above], critical.upper_limit[below]]
        )
        if known.any():
            ax.errorbar(
                frequency[known],
                critical.dose[known],
                # Error bars of a logarithmic axis end above 0.
                np.minimum(critical.stderr[known], 0.95 * critical.dose[known]),
                fmt="o",
                color=_COLOR,
                ms=5,
                capsize=3,
                label="critical dose, one standard error",
            )
        for which, marker, limit, name in (
            (above, "^", critical.lower_limit, "lower limit (95 %)"),
            (below, "v", critical.upper_limit, "upper limit (95 %)"),
        ):
            if which.any():
                ax.plot(
                    frequency[which],
                    limit[which],
                    marker,
                    color=_COLOR,
                    mfc="white",
                    ms=8,
                    label=name,
                )
        ax.set_xlim(frequency[0] / 1.15, frequency[-1] * 1.15)
        ax.set(
            xscale="log",
            xlabel="spatial frequency (cycles per px)",
            ylabel=f"critical dose ({self.unit})",
        )
        ax.set_xticks(frequency, [f"{each:.2g}" for each in frequency], fontsize="small")
        ax.set_xticks([], minor=True)
        ax.set_title(f"loss of the last frame: {critical.kind}", fontsize="medium")
        if len(shown):
            ax.set(yscale="log", ylim=(_LOWEST * shown.min(), _HIGHEST * shown.max()))
            ax.legend(frameon=False, fontsize="small")
        else:
            ax.text(0.5, 0.5, "no band can be measured", transform=ax.transAxes, ha="center")
        ax.spines[["top", "right"]].set_visible(False)

    def _draw_map(self, ax: Axes, critical: CriticalDose) -> None:
        from matplotlib.colors import LogNorm

        unlimited = np.isinf(critical.dose)
        if critical.upper_limit is not None:
            unlimited = unlimited | np.isinf(critical.upper_limit)
        known = critical.dose[~unlimited]
        ax.set_facecolor(_UNKNOWN)
        ax.set(xticks=[], yticks=[])
        low, high = np.quantile(known, [0.01, 0.99]) if known.size else (1.0, 10.0)
        drawn = ax.imshow(
            np.ma.masked_array(critical.dose, unlimited),
            norm=LogNorm(low, max(high, 1.01 * low)),
            cmap="cividis",
        )
        ax.figure.colorbar(drawn, ax=ax, label=f"critical dose ({self.unit})", shrink=0.85)
        if critical.lower_limit is not None and unlimited.any():
            limit = float(np.median(critical.lower_limit[unlimited]))
            ax.set_title(f"grey: no decay is certain, above {limit:.3g} (95 %)", fontsize="medium")
