"""The display of a pair of frames, their overlay and the damage between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._motion import Motion
from .._validation import Float32Array, check_pair
from ..io._frame_stack import PixelSize
from ..registration import coverage, warp
from ._checks import check_axes
from ._images import (
    ARROW_COLOR,
    NO_DATA_COLOR,
    grey_levels,
    nice_length,
    overlay,
    show_image,
)
from ._scale_bar import add_scale_bar, choose_pixel_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..drift import DriftDecayModel, DriftDecayState

# Standard error of the damage at t = 1 from which nothing is told; without evidence it is 0.29.
_UNKNOWN = 0.2
# Arrows along each axis of the frame.
_N_ARROWS = 4


class DriftDecayDisplay:
    """Two frames, their overlay after alignment, and the damage between them.

    Create one with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    pair : FrameStack or array-like of shape (2, H, W)
        The two frames, the earlier first.
    motion : Motion
        From the first frame to the second.
    damage : ndarray of shape (H, W)
        Share of the signal that was lost, 0 to 1, at the pixels of the first frame.
    confidence : float
        Confidence of the motion, 0 to 1.
    t : float, default=1.0
        Time of the damage: 0 is the first frame, 1 the second.
    pixel_size : float or (float, float), optional
        Length of a pixel in nm, (y, x) of oblong ones, for scale bars. By default that of `pair`,
        if it is known.
    stderr : ndarray of shape (H, W), optional
        Standard error of the damage. Where it is so large that nothing can be told, as in vacuum,
        the damage is drawn grey.

    Attributes
    ----------
    ax_ : ndarray of shape (4,) of matplotlib Axes
        First frame, second frame, overlay and damage map.
    figure_ : matplotlib Figure
        The figure that holds them.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.datasets import make_drift_pairs
    >>> from stemkit.inspection import DriftDecayDisplay
    >>> data = make_drift_pairs(1, shape=(64, 64), random_state=0)
    >>> display = DriftDecayDisplay(
    ...     data.pairs[0], data.motion[0], 1 - data.decay[0], confidence=1.0, pixel_size=0.02
    ... ).plot()
    >>> [ax.get_title().split(",")[0] for ax in display.ax_]
    ['first frame', 'second frame', 'overlay after alignment', 'damage']

    With a model, or from its earlier prediction:

    >>> from stemkit import DriftDecayModel
    >>> model = DriftDecayModel()
    >>> display = DriftDecayDisplay.from_estimator(model, data.pairs[0], t=0.5)
    >>> state = model.predict(data.pairs[0], t=1.0)
    >>> DriftDecayDisplay.from_predictions(data.pairs[0], state).t
    1.0
    """

    def __init__(
        self,
        pair: ArrayLike,
        motion: Motion,
        damage: NDArray[np.floating],
        confidence: float,
        *,
        t: float = 1.0,
        pixel_size: PixelSize | None = None,
        stderr: NDArray[np.floating] | None = None,
    ) -> None:
        self.pair = check_pair(pair)
        shapes = {"motion": motion.shape, "damage": np.shape(damage)}
        if stderr is not None:
            shapes["stderr"] = np.shape(stderr)
        for name, shape in shapes.items():
            if shape != self.pair.shape[1:]:
                raise ValueError(
                    f"{name} is for frames of shape {shape}, but those of the pair have shape "
                    f"{self.pair.shape[1:]}; pass what was estimated from this pair."
                )
        self.motion = motion
        self.damage = damage
        self.confidence = confidence
        self.t = t
        self.stderr = stderr
        self.pixel_size = choose_pixel_size(pixel_size, pair)

    @classmethod
    def from_estimator(
        cls,
        estimator: DriftDecayModel,
        pair: ArrayLike,
        t: float = 1.0,
        *,
        pixel_size: PixelSize | None = None,
    ) -> DriftDecayDisplay:
        """Compare two frames with an estimator and plot the result.

        Parameters
        ----------
        estimator : DriftDecayModel
            A fitted model.
        pair : array-like of shape (2, H, W)
            The two frames, the earlier first.
        t : float, default=1.0
            Time of the damage: 0 is the first frame, 1 the second.
        pixel_size : float or (float, float), optional
            Length of a pixel in nm, for scale bars; by default that of `pair`.

        Returns
        -------
        DriftDecayDisplay
        """
        return cls.from_predictions(pair, estimator.predict(pair, t), pixel_size=pixel_size)

    @classmethod
    def from_predictions(
        cls, pair: ArrayLike, state: DriftDecayState, *, pixel_size: PixelSize | None = None
    ) -> DriftDecayDisplay:
        """Plot what ``DriftDecayModel.predict(pair, t)`` returned.

        Parameters
        ----------
        pair : array-like of shape (2, H, W)
            The two frames, the earlier first.
        state : DriftDecayState
            The prediction at a single time t.
        pixel_size : float or (float, float), optional
            Length of a pixel in nm, for scale bars; by default that of `pair`.

        Returns
        -------
        DriftDecayDisplay

        Raises
        ------
        ValueError
            If `state` has several times, or is for frames of another shape.
        """
        if np.ndim(state.t):
            raise ValueError("state has several times; predict the pair at a single t.")
        return cls(
            pair,
            state.motion,
            state.damage,
            state.confidence,
            t=float(state.t),
            pixel_size=pixel_size,
            stderr=state.decay_stderr,
        ).plot()

    @property
    def figure_size(self) -> tuple[float, float]:
        """Width and height in inches of a figure for the four panels."""
        height, width = self.pair.shape[1:]
        return 8.6, 8 * min(max(height / width, 0.4), 2.5) + 0.6

    def plot(self, ax: Any = None) -> DriftDecayDisplay:
        """Draw the four panels.

        Parameters
        ----------
        ax : array-like of four matplotlib Axes, optional
            Where to draw; a figure of two rows by default.

        Returns
        -------
        DriftDecayDisplay
            This display, with ``ax_`` and ``figure_`` set.

        Raises
        ------
        ValueError
            If `ax` does not hold four Axes.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(2, 2, figsize=self.figure_size, layout="constrained")
        axes = check_axes(ax, 4, "two frames, overlay and damage")
        self.ax_ = axes
        self.figure_ = axes[0].figure
        first, second = self.pair
        low, high = grey_levels(first, second)
        show_image(axes[0], first, "first frame", cmap="gray", vmin=low, vmax=high)
        show_image(axes[1], second, self._drift_title(), cmap="gray", vmin=low, vmax=high)
        self._draw_arrows(axes[1])
        self._draw_overlay(axes[2], first, second)
        self._draw_damage(axes[3])
        if self.pixel_size is not None:
            for panel_ax in axes:
                add_scale_bar(panel_ax, self.pixel_size)
        return self

    def _drift_title(self) -> str:
        dy, dx = self.motion.drift
        degrees = np.rad2deg(self.motion.rotation)
        # z: without the sign of a negative number that is rounded to zero.
        return f"second frame, drift ({dy:z.1f}, {dx:z.1f}) px, rotation {degrees:z.2f}°"

    def _draw_arrows(self, ax: Axes) -> None:
        """Draw arrows from the earlier positions to the later ones; short arrows are magnified."""
        from matplotlib import patheffects

        shape = np.array(self.motion.shape)
        steps = [(np.arange(_N_ARROWS) + 0.5) / _N_ARROWS * side for side in shape]
        start = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 2)
        moved = self.motion.apply(start) - start
        longest = np.hypot(*moved.T).max()
        if longest < 0.05:
            return
        spacing = shape.min() / _N_ARROWS
        scale = 1.0 if longest > 0.15 * spacing else nice_length(0.7 * spacing / longest)
        ax.quiver(
            *start.T[::-1],
            *(scale * moved).T[::-1],
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.006,
            color=ARROW_COLOR,
            zorder=0.9,  # below the scale bar
            path_effects=[patheffects.withStroke(linewidth=1.6, foreground="black")],
        )
        # Otherwise arrows that point out of the frame enlarge the axes.
        ax.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
        if scale != 1:
            ax.set_xlabel(f"arrows drawn {scale:g} times as long", fontsize="small")

    def _draw_overlay(self, ax: Axes, first: Float32Array, second: Float32Array) -> None:
        inverse = self.motion.inverse()
        image = overlay(first, warp(second, inverse), coverage(inverse))
        show_image(ax, image, f"overlay after alignment, confidence {self.confidence:.2f}")
        ax.set_xlabel("magenta: first, green: second, grey: both", fontsize="small")

    def _draw_damage(self, ax: Axes) -> None:
        from matplotlib import colormaps

        overlap = coverage(self.motion.inverse())
        title = "damage" if self.t == 1 else f"damage at t = {self.t:g}"
        title += "" if overlap.any() else ", unknown: the frames don't overlap"
        known = overlap
        if self.stderr is not None:
            known = overlap & (np.asarray(self.stderr) <= _UNKNOWN * self.t)
            if overlap.any() and not known.any():
                title += ", unknown: no structure shows it"
        drawn = show_image(
            ax,
            np.ma.masked_array(self.damage, ~known),
            title,
            cmap=colormaps["magma"].with_extremes(bad=NO_DATA_COLOR),
            vmin=0,
            vmax=1,
        )
        bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.9, pad=0.02)
        bar.set_label("share of the signal lost")
        bar.outline.set_visible(False)
