from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.signal import windows

from .._validation import Float32Array
from ..metrics._spectral import rings
from ._images import add_scale_bar, check_frame, grey_levels, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {"input": "0.55", "output": "#1f5f99", "residual": "#c2571a", "truth": "black"}
# The spectra that hold noise, and so say how far down there is something to be seen.
_BOUNDS = ("input", "residual")


class DenoisingDisplay:
    """A frame, what a denoiser makes of it, what it takes off, and the spectra of the three.

    What was taken off should look like noise: where the specimen shows in it, the denoiser has
    blurred the specimen away. Its spectrum should be as flat as the noise's, without the peaks of a
    lattice. Use :meth:`from_estimator` or :meth:`from_predictions` to make one.

    Parameters
    ----------
    noisy : array-like of shape (H, W)
        The frame.
    denoised : array-like of shape (H, W)
        What became of it.
    truth : array-like of shape (H, W), optional
        The clean frame, whose spectrum is drawn too.
    pixel_size : float, optional
        Length of a pixel in nm, for scale bars and for the unit of spatial frequencies.

    Attributes
    ----------
    ax_ : ndarray of shape (4,) of matplotlib Axes
        Input, output, residual and spectra.
    figure_ : matplotlib Figure
        The figure that holds them.

    Notes
    -----
    Input and output have grey levels of their own, since noise takes a wider range. The spectra are
    means over rings of the power of the frames, tapered towards their borders, without their mean;
    in units in which white noise of variance 1 lies at 1.

    Examples
    --------
    >>> from stemkit.datasets import make_nucleation
    >>> from stemkit.denoise import GaussianDenoiser
    >>> from stemkit.inspection import DenoisingDisplay
    >>> frames = make_nucleation(2, shape=(64, 64), random_state=0).noisy
    >>> model = GaussianDenoiser(sigma=1).fit(frames)
    >>> display = DenoisingDisplay.from_estimator(model, frames[0])
    >>> display.ax_[3].get_xlabel()
    'spatial frequency (1/px)'

    What was denoised before, drawn into axes of one's own:

    >>> import matplotlib.pyplot as plt
    >>> figure, axes = plt.subplots(1, 4)
    >>> display = DenoisingDisplay.from_predictions(frames[1], model.predict(frames)[1])
    >>> display.plot(axes).figure_ is figure
    True
    """

    def __init__(
        self,
        noisy: ArrayLike,
        denoised: ArrayLike,
        *,
        truth: ArrayLike | None = None,
        pixel_size: float | None = None,
    ) -> None:
        self.noisy = check_frame(noisy, "noisy")
        self.denoised = check_frame(denoised, "denoised", self.noisy.shape)
        self.truth = None if truth is None else check_frame(truth, "truth", self.noisy.shape)
        if pixel_size is not None and not 0 < pixel_size < np.inf:
            raise ValueError(f"pixel_size must be a positive number of nm; got {pixel_size!r}.")
        self.pixel_size = pixel_size

    @classmethod
    def from_estimator(
        cls, estimator: Any, noisy: ArrayLike, *, truth: ArrayLike | None = None, **options: Any
    ) -> DenoisingDisplay:
        """Let a denoiser work on a frame, and plot what it makes of it.

        Parameters
        ----------
        estimator : denoiser
            Fitted, or with weights; anything with a ``predict`` from frames to frames.
        noisy : array-like of shape (H, W)
            The frame.
        truth : array-like of shape (H, W), optional
            The clean frame.
        **options : dict
            Further parameters of the class.

        Returns
        -------
        DenoisingDisplay

        Raises
        ------
        ValueError
            Where `noisy` is not one frame of finite numbers.
        """
        frame = check_frame(noisy, "noisy")
        return cls.from_predictions(
            frame, estimator.predict(frame[np.newaxis])[0], truth=truth, **options
        )

    @classmethod
    def from_predictions(
        cls,
        noisy: ArrayLike,
        denoised: ArrayLike,
        *,
        truth: ArrayLike | None = None,
        **options: Any,
    ) -> DenoisingDisplay:
        """Plot a frame beside what was made of it; the parameters are those of the class.

        Parameters
        ----------
        noisy : array-like of shape (H, W)
            The frame.
        denoised : array-like of shape (H, W)
            What became of it.
        truth : array-like of shape (H, W), optional
            The clean frame.
        **options : dict
            Further parameters of the class.

        Returns
        -------
        DenoisingDisplay
        """
        return cls(noisy, denoised, truth=truth, **options).plot()

    def plot(self, ax: Any = None) -> DenoisingDisplay:
        """Draw the four panels.

        Parameters
        ----------
        ax : array-like of four matplotlib Axes, optional
            Where to draw; a figure of two rows by default.

        Returns
        -------
        DenoisingDisplay
            This display, with ``ax_`` and ``figure_`` set.

        Raises
        ------
        ValueError
            Where ``ax`` does not hold four axes.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            height, width = self.noisy.shape
            panel = 3.8 * min(max(height / width, 0.4), 2.5)
            _, ax = plt.subplots(2, 2, figsize=(8.6, 2 * panel + 0.6), layout="constrained")
        axes = np.ravel(ax)
        if len(axes) != 4:
            raise ValueError(f"ax must hold four Axes, one a panel; got {len(axes)}.")
        self.ax_ = axes
        self.figure_ = axes[0].figure
        residual = self.noisy - self.denoised
        for panel_ax, (title, frame) in zip(
            axes, {"input": self.noisy, "output": self.denoised}.items(), strict=False
        ):
            low, high = grey_levels(frame)
            show_image(panel_ax, frame, title, cmap="gray", vmin=low, vmax=high)
        self._draw_residual(axes[2], residual)
        if self.pixel_size is not None:
            for panel_ax in axes[:3]:
                add_scale_bar(panel_ax, self.pixel_size)
        self._draw_spectra(axes[3], residual)
        return self

    def _draw_residual(self, ax: Axes, residual: Float32Array) -> None:
        limit = 3 * float(residual.std()) or 1.0
        # three figures of the deviation, and the mean to the same decimal
        digits = max(0, 2 - int(np.floor(np.log10(limit / 3))))
        title = f"residual, {residual.mean():z.{digits}f} ± {residual.std():.{digits}f}"
        drawn = show_image(ax, residual, title, cmap="gray", vmin=-limit, vmax=limit)
        bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.9, pad=0.02)
        bar.set_label("input − output")
        bar.outline.set_visible(False)

    def _draw_spectra(self, ax: Axes, residual: Float32Array) -> None:
        frames = {"input": self.noisy, "output": self.denoised, "residual": residual}
        if self.truth is not None:
            frames["truth"] = self.truth
        powers = {}
        for name, frame in frames.items():
            frequency, powers[name] = _spectrum(frame)
            ax.plot(
                frequency / (self.pixel_size or 1.0),
                powers[name],
                color=_COLORS[name],
                lw=1.5,
                ls="--" if name == "truth" else "-",
                label=name,
            )
        unit = "1/px" if self.pixel_size is None else "1/nm"
        ax.set(xlabel=f"spatial frequency ({unit})", ylabel="power")
        ax.set_title("spectra", fontsize="medium")
        least = min(np.median(powers[name]) if powers[name].size else 0 for name in _BOUNDS)
        if least > 0:  # frames without contrast have no power, and no logarithm of it
            # What was smoothed away lies many powers of ten down, where nothing is to be seen.
            most = max(power.max() for power in powers.values())
            ax.set(yscale="log", ylim=(least / 300, 2 * most))
        ax.set_xlim(0, None)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize="small")


def _spectrum(frame: Float32Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean power of each ring of frequencies, in cycles per px, and these."""
    taper = np.multiply.outer(*(windows.hann(n, sym=False) if n > 1 else 1.0 for n in frame.shape))
    taper = np.reshape(taper, frame.shape)
    power = np.abs(fft.fft2((frame - frame.mean(dtype=float)) * taper)) ** 2 / (taper**2).sum()
    ring, frequency = rings(*frame.shape)
    inside = ring > 0
    count = np.bincount(ring[inside])[1:]
    means = [
        np.bincount(ring[inside], weights=values[inside])[1:] / count
        for values in (frequency, power)
    ]
    return means[0], means[1]
