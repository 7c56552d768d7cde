"""The display of a denoised frame, its residual and its spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.signal import windows

from .._fourier_rings import fourier_rings
from .._validation import Float32Array
from ..io._frame_stack import PixelSize
from ._checks import check_axes, check_frame
from ._images import grey_levels, show_image
from ._scale_bar import add_scale_bar, choose_pixel_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {"input": "0.55", "output": "#1f5f99", "residual": "#c2571a", "truth": "black"}
# The spectra that contain noise: their level sets the lower limit of the axis.
_NOISY_SPECTRA = ("input", "residual")


class DenoisingDisplay:
    """A frame, its denoised version, their difference, and the spectra of the three.

    The difference, the residual, should look like noise: where it shows the specimen, the denoiser
    has blurred the specimen. Its spectrum should be as flat as the noise's, without the peaks of a
    lattice. Create one with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    noisy : array-like of shape (H, W), or FrameStack of one frame
        The frame.
    denoised : array-like of shape (H, W)
        The denoised frame.
    truth : array-like of shape (H, W), optional
        The clean frame. Its spectrum is drawn too.
    pixel_size : float or (float, float), optional
        Length of a pixel in nm, (y, x) of oblong ones, for scale bars and for the unit of spatial
        frequencies. By default that of `noisy`, if it is known.

    Attributes
    ----------
    ax_ : ndarray of shape (4,) of matplotlib Axes
        Input, output, residual and spectra.
    figure_ : matplotlib Figure
        The figure that holds them.

    Notes
    -----
    Input and output have separate grey levels, since noise has a wider range. The spectra are
    the power of the frames, without their mean and tapered towards their borders, averaged over
    rings. White noise of variance 1 has a power of 1.

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

    With frames that were denoised before, drawn into existing axes:

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
        pixel_size: PixelSize | None = None,
    ) -> None:
        self.noisy = check_frame(noisy, "noisy")
        self.denoised = check_frame(denoised, "denoised", self.noisy.shape)
        self.truth = None if truth is None else check_frame(truth, "truth", self.noisy.shape)
        self.pixel_size = choose_pixel_size(pixel_size, noisy)

    @classmethod
    def from_estimator(
        cls, estimator: Any, noisy: ArrayLike, *, truth: ArrayLike | None = None, **options: Any
    ) -> DenoisingDisplay:
        """Denoise a frame and plot the result.

        Parameters
        ----------
        estimator : denoiser
            Fitted, or with weights. Any object with a ``predict`` from frames to frames.
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
            If `noisy` is not one frame of finite numbers.
        """
        frame = check_frame(noisy, "noisy")
        return cls.from_predictions(
            noisy, estimator.predict(frame[np.newaxis])[0], truth=truth, **options
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
        """Plot a frame and its denoised version. The parameters are those of the class.

        Parameters
        ----------
        noisy : array-like of shape (H, W)
            The frame.
        denoised : array-like of shape (H, W)
            The denoised frame.
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
            If `ax` does not hold four Axes.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            height, width = self.noisy.shape
            panel = 3.8 * min(max(height / width, 0.4), 2.5)
            _, ax = plt.subplots(2, 2, figsize=(8.6, 2 * panel + 0.6), layout="constrained")
        axes = check_axes(ax, 4, "input, output, residual and spectra")
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
        # Three digits of the standard deviation, and the mean to the same decimal place.
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
        # The frequencies of oblong pixels have no common unit in nm.
        side = self.pixel_size if isinstance(self.pixel_size, float | int) else None
        powers = {}
        for name, frame in frames.items():
            frequency, powers[name] = _spectrum(frame)
            ax.plot(
                frequency / (side or 1.0),
                powers[name],
                color=_COLORS[name],
                lw=1.5,
                ls="--" if name == "truth" else "-",
                label=name,
            )
        unit = "1/px" if side is None else "1/nm"
        ax.set(xlabel=f"spatial frequency ({unit})", ylabel="power")
        ax.set_title("spectra", fontsize="medium")
        noise_level = min(
            np.median(powers[name]) if powers[name].size else 0 for name in _NOISY_SPECTRA
        )
        if noise_level > 0:  # the power of frames without contrast is zero, without a logarithm
            # Smoothing reduces the power by many orders of magnitude, which need not be shown.
            highest = max(power.max() for power in powers.values())
            ax.set(yscale="log", ylim=(noise_level / 300, 2 * highest))
        ax.set_xlim(0, None)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize="small")


def _spectrum(frame: Float32Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the frequencies of rings in cycles per px, and the mean power of each ring."""
    taper = np.multiply.outer(*(windows.hann(n, sym=False) if n > 1 else 1.0 for n in frame.shape))
    taper = np.reshape(taper, frame.shape)
    power = np.abs(fft.fft2((frame - frame.mean(dtype=float)) * taper)) ** 2 / (taper**2).sum()
    ring, frequency = fourier_rings(*frame.shape)
    inside = ring > 0
    count = np.bincount(ring[inside])[1:]
    means = [
        np.bincount(ring[inside], weights=values[inside])[1:] / count
        for values in (frequency, power)
    ]
    return means[0], means[1]
