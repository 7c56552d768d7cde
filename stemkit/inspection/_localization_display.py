"""The display of the atoms found in a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._constraints import Interval, check_value
from ..io._frame_stack import PixelSize
from ..metrics import atom_score
from ._checks import check_frame, check_table
from ._images import ARROW_COLOR, grey_levels, show_image
from ._scale_bar import add_scale_bar, choose_pixel_size

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from ..localize import AtomLocator

_FOUND_COLOR = "#35b6e8"
_MISSED_COLOR = ARROW_COLOR
_EXTRA_COLOR = "#f0388c"
# Largest radius of a circle, as a fraction of the frame's longer side.
_LARGEST_RADIUS = 0.02


class LocalizationDisplay:
    """A frame with the atoms found in it; with the truth also missed atoms and false ones.

    Create one with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    frame : array-like of shape (H, W), or FrameStack of one frame
        The frame.
    atoms : DataFrame
        The atoms of this frame, from :meth:`stemkit.localize.AtomLocator.predict`: columns ``y``
        and ``x`` in px and, if known, their standard errors ``y_err`` and ``x_err``.
    truth : DataFrame or array-like of shape (n_atoms, 2), optional
        True positions: columns ``y`` and ``x``, or rows of (y, x), in px.
    tolerance : float, default=2
        Largest distance in px between a true atom and the one matched to it.
    pixel_size : float or (float, float), optional
        Length of a pixel in nm, (y, x) of oblong ones, for a scale bar. By default that of `frame`,
        if it is known.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the frame is drawn.
    figure_ : matplotlib Figure
        The figure that holds it.

    Examples
    --------
    >>> from stemkit import AtomLocator
    >>> from stemkit.datasets import make_nucleation
    >>> from stemkit.inspection import LocalizationDisplay
    >>> data = make_nucleation(1, shape=(64, 64), mask_threshold=0.0, random_state=0)
    >>> locator = AtomLocator(sigma=1.5, threshold=15.0).fit(data.noisy)
    >>> display = LocalizationDisplay.from_estimator(
    ...     locator, data.noisy[0], truth=data.positions[["y", "x"]]
    ... )
    >>> display.ax_.get_title()[:2]
    'F1'

    From a table, drawn into existing axes:

    >>> import matplotlib.pyplot as plt
    >>> figure, ax = plt.subplots()
    >>> atoms = locator.predict(data.noisy)
    >>> LocalizationDisplay.from_predictions(data.noisy[0], atoms).plot(ax).ax_ is ax
    True
    """

    def __init__(
        self,
        frame: ArrayLike,
        atoms: pd.DataFrame,
        *,
        truth: pd.DataFrame | ArrayLike | None = None,
        tolerance: float = 2.0,
        pixel_size: PixelSize | None = None,
    ) -> None:
        self.frame = check_frame(frame, "frame")
        check_table(atoms, "atoms", ("y", "x"))
        check_value(tolerance, "tolerance", [Interval(float, 0, None, unit="px")])
        for name, table in (("atoms", atoms), ("truth", truth)):
            frames = getattr(table, "get", lambda column: None)("frame")
            if frames is not None and frames.nunique() > 1:
                raise ValueError(
                    f"{name} has atoms of {frames.nunique()} frames, but one is drawn; pass "
                    f"{name}[{name}['frame'] == i] with the number i of this frame."
                )
        self.atoms = atoms
        self.truth = truth
        self.tolerance = tolerance
        self.pixel_size = choose_pixel_size(pixel_size, frame)

    @classmethod
    def from_estimator(
        cls, estimator: AtomLocator, frame: ArrayLike, **options: Any
    ) -> LocalizationDisplay:
        """Locate the atoms of a frame and plot them.

        Parameters
        ----------
        estimator : AtomLocator
            Fitted, or a pipeline that ends in one.
        frame : array-like of shape (H, W)
            The frame.
        **options : dict
            Further parameters of the class, as ``truth``.

        Returns
        -------
        LocalizationDisplay

        Raises
        ------
        ValueError
            If `frame` is not one frame of finite numbers.
        """
        atoms = estimator.predict(check_frame(frame, "frame")[np.newaxis])
        return cls.from_predictions(frame, atoms, **options)

    @classmethod
    def from_predictions(
        cls, frame: ArrayLike, atoms: pd.DataFrame, **options: Any
    ) -> LocalizationDisplay:
        """Plot atoms that were located before. The parameters are those of the class.

        Parameters
        ----------
        frame : array-like of shape (H, W)
            The frame.
        atoms : DataFrame
            The atoms of this frame.
        **options : dict
            Further parameters of the class, as ``truth``.

        Returns
        -------
        LocalizationDisplay
        """
        return cls(frame, atoms, **options).plot()

    def plot(self, ax: Axes | None = None) -> LocalizationDisplay:
        """Draw the frame and the atoms.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        LocalizationDisplay
            This display, with ``ax_`` and ``figure_`` set.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            height, width = self.frame.shape
            size = (6.4, 6.4 * min(max(height / width, 0.3), 2.0) + 0.7)
            _, ax = plt.subplots(figsize=size, layout="constrained")
        self.ax_ = ax
        self.figure_ = ax.figure
        low, high = grey_levels(self.frame)
        found = self.atoms[["y", "x"]].to_numpy(dtype=float)
        title = f"{len(found)} atoms"
        matched = np.ones(len(found), dtype=bool)
        missed = np.empty((0, 2))
        if self.truth is not None:
            table: Any = self.truth
            true = np.asarray(table[["y", "x"]] if hasattr(table, "columns") else table, float)
            true = true.reshape(-1, 2)
            score = atom_score(true, found, tolerance=self.tolerance)
            matched = np.isin(np.arange(len(found)), score.matches["found"])
            missed = true[~np.isin(np.arange(len(true)), score.matches["true"])]
            title = f"F1 {score.f1:.3f} within {self.tolerance:g} px, {len(true)} true atoms"
        show_image(ax, self.frame, title, cmap="gray", vmin=low, vmax=high)
        handles = [self._mark(ax, found[matched], "found", _FOUND_COLOR)]
        if self.truth is not None:
            handles.append(self._mark(ax, found[~matched], "false positive", _EXTRA_COLOR))
            handles.append(self._mark(ax, missed, "missed", _MISSED_COLOR))
        self._draw_errors(ax)
        # Otherwise circles at a border enlarge the axes.
        height, width = self.frame.shape
        ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        if self.pixel_size is not None:
            add_scale_bar(ax, self.pixel_size)
        ax.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, frameon=False
        )
        return self

    def _mark(self, ax: Axes, positions: NDArray[np.float64], label: str, color: str) -> Line2D:
        """Draw circles of the size of an atom, and return their entry for the legend."""
        from matplotlib.collections import EllipseCollection
        from matplotlib.lines import Line2D

        sigma = self.atoms["sigma"].median() if "sigma" in self.atoms and len(self.atoms) else 1.5
        diameter = np.full(
            len(positions), min(4 * sigma, 2 * _LARGEST_RADIUS * max(self.frame.shape) + 4)
        )
        circles = EllipseCollection(
            diameter,
            diameter,
            np.zeros(len(positions)),
            units="xy",
            offsets=positions[:, ::-1],
            transOffset=ax.transData,
            facecolors="none",
            edgecolors=color,
            linewidths=1.3,
            label=label,
        )
        ax.add_collection(circles)
        text = f"{label}: {len(positions)}"
        return Line2D([], [], ls="", marker="o", mfc="none", mec=color, label=text)

    def _draw_errors(self, ax: Axes) -> None:
        if not {"y_err", "x_err"} <= set(self.atoms.columns):
            return
        ax.errorbar(
            self.atoms["x"],
            self.atoms["y"],
            xerr=self.atoms["x_err"],
            yerr=self.atoms["y_err"],
            fmt="none",
            ecolor=_FOUND_COLOR,
            elinewidth=1,
        )
