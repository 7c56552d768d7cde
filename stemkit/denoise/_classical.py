"""Denoisers without a network, as baselines for networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max

from .._constraints import Constraints, Interval
from .._frame_statistics import DARK, MIN_SIDE, contrast_skewness, noise_level
from .._noise_spectrum import shares_noise
from .._scene import Scene, render_columns
from .._validation import BAD_PIXELS, BadPixels, Float32Array
from .._warnings import warn_caller
from ..exceptions import OutOfDomainWarning
from ._base import Denoiser


class GaussianDenoiser(Denoiser):
    """Smooth frames with a Gaussian.

    Parameters
    ----------
    sigma : float, default=1.5
        Standard deviation in px.
    bad_pixels : {"repair"} or None, default="repair"
        Fill pixels that are NaN, masked, stuck or hit by X-rays, and bad rows and columns, from
        their neighbours, with a :class:`~stemkit.exceptions.BadPixelWarning`. With None, frames
        are used as they are, and NaN is an error.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.denoise import GaussianDenoiser
    >>> noise = np.random.default_rng(0).normal(size=(3, 256, 256))
    >>> smooth = GaussianDenoiser(sigma=2).fit(noise).transform(noise)
    >>> round(float(smooth.std() / noise.std()), 2)  # 1 / (2 sqrt(pi) sigma)
    0.14
    """

    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        "sigma": [Interval(float, 0, 10_000, unit="px")],
        "bad_pixels": BAD_PIXELS,
    }

    def __init__(self, *, sigma: float = 1.5, bad_pixels: BadPixels = "repair") -> None:
        self.sigma = sigma
        self.bad_pixels = bad_pixels

    def _denoise(self, frames: Float32Array) -> Float32Array:
        return ndimage.gaussian_filter(frames, self.sigma, axes=(1, 2))


class LoGRenderDenoiser(Denoiser):
    """Find atoms as peaks of the Laplacian of Gaussian, and draw a dot for each.

    Parameters
    ----------
    sigma : float, default=1.15
        Standard deviation in px of the filter's Gaussian. A value slightly below that of the atoms
        separates close neighbours.
    threshold : float, default=3.5
        Minimum height of a peak, in standard deviations of filtered white noise of the level that
        is estimated from the frame's finest detail.
    min_distance : int, default=2
        Minimum distance of two peaks in px.
    peak : float, default=255.0
        Brightness of the dots.
    dot_sigma : float, default=0.75
        Their standard deviation in px.
    bad_pixels : {"repair"} or None, default="repair"
        Fill pixels that are NaN, masked, stuck or hit by X-rays, and bad rows and columns, from
        their neighbours, with a :class:`~stemkit.exceptions.BadPixelWarning`. With None, frames
        are used as they are, and NaN is an error.

    Notes
    -----
    A baseline for networks: the dots are those of the target of
    :func:`stemkit.datasets.make_nucleation`, so that the error depends on finding the atoms alone.
    Peaks are refined to a fraction of a pixel by a parabola along each axis.

    Examples
    --------
    >>> from stemkit.datasets import make_nucleation
    >>> from stemkit.denoise import LoGRenderDenoiser
    >>> from stemkit.metrics import psnr
    >>> data = make_nucleation(4, shape=(128, 128), random_state=0)
    >>> dots = LoGRenderDenoiser().fit(data.noisy).transform(data.noisy)
    >>> psnr(data.target, dots) > 5 + psnr(data.target, 0 * dots)
    True
    """

    _parameter_constraints: ClassVar[Mapping[str, Constraints]] = {
        "sigma": [Interval(float, 0, 200, closed="right", unit="px")],
        "threshold": [Interval(float, 0, None)],
        "min_distance": [Interval(int, 1, 1000, unit="px")],
        "peak": [Interval(float, 0, None)],
        "dot_sigma": [Interval(float, 0, 200, closed="right", unit="px")],
        "bad_pixels": BAD_PIXELS,
    }

    def __init__(
        self,
        *,
        sigma: float = 1.15,
        threshold: float = 3.5,
        min_distance: int = 2,
        peak: float = 255.0,
        dot_sigma: float = 0.75,
        bad_pixels: BadPixels = "repair",
    ) -> None:
        self.sigma = sigma
        self.threshold = threshold
        self.min_distance = min_distance
        self.peak = peak
        self.dot_sigma = dot_sigma
        self.bad_pixels = bad_pixels

    def _denoise(self, frames: Float32Array) -> Float32Array:
        for index, frame in enumerate(frames):
            dark = contrast_skewness(frame, max(self.sigma, 1.0)) < DARK
            if min(frame.shape) >= MIN_SIDE and (shares_noise(frame) or dark):
                warn_caller(
                    f"The dots drawn for frame {index} of X may be wrong: "
                    + (
                        "its atoms look dark; pass -X."
                        if dark
                        else "neighbouring pixels share noise, or there is none, so that it can't "
                        "be told from atoms."
                    ),
                    OutOfDomainWarning,
                )
                break
        return np.stack([self._draw(frame) for frame in frames])

    def _draw(self, frame: Float32Array) -> Float32Array:
        response = -ndimage.gaussian_laplace(frame.astype(float), self.sigma)
        peaks = peak_local_max(
            response,
            min_distance=self.min_distance,
            threshold_abs=self.threshold * noise_level(frame) * _noise_gain(self.sigma),
            exclude_border=False,
        )
        y, x = (peaks[:, axis] + _refine(response, peaks, axis) for axis in (0, 1))
        dots = (np.full(len(peaks), float(value)) for value in (self.peak, self.dot_sigma))
        return render_columns(Scene(y, x, *dots), frame.shape)


def _noise_gain(sigma: float) -> float:
    """Return the standard deviation of white noise of 1 after the Laplacian of Gaussian."""
    radius = int(4 * sigma + 0.5)
    impulse = np.zeros((2 * radius + 1,) * 2)
    impulse[radius, radius] = 1
    return float(np.linalg.norm(ndimage.gaussian_laplace(impulse, sigma)))


def _refine(response: np.ndarray, peaks: np.ndarray, axis: int) -> np.ndarray:
    """Return the offset of the top of the parabola through each pixel and its neighbours."""
    step = np.eye(2, dtype=int)[axis]
    last = np.array(response.shape) - 1
    before, at, after = (response[tuple(np.clip(peaks + n * step, 0, last).T)] for n in (-1, 0, 1))
    curvature = before - 2 * at + after
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = np.where(curvature < 0, 0.5 * (before - after) / curvature, 0.0)
    return np.clip(offset, -0.5, 0.5)
