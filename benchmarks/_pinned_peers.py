"""Denoisers without a network for the PINNED benchmark, each with several strengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from stemkit.networks import PINNED
from stemkit.noise import CompositeDegradationNoise

LATTICE_AVERAGE = "lattice average alone"
# A function of a noisy frame, the standard deviation of its noise, and a strength.
Peer = Callable[[NDArray, float, float], NDArray]


def bragg(frame: NDArray, sigma: float, threshold: float) -> NDArray:
    """Apply a Bragg filter: keep the Fourier components next to each peak of the power spectrum.

    A peak is a local maximum above `threshold` times the mean power at its spatial frequency.
    """
    spectrum = np.fft.fft2(frame)
    power = np.abs(spectrum) ** 2
    ring = np.rint(
        np.hypot(*np.meshgrid(*(n * np.fft.fftfreq(n) for n in frame.shape), indexing="ij"))
    ).astype(int)
    # The median of exponentially distributed power is ln 2 times the mean.
    floor = ndimage.median(power, ring, np.arange(ring.max() + 1))[ring] / math.log(2)
    peaks = (power > threshold * floor) & (power == ndimage.maximum_filter(power, 3, mode="wrap"))
    peaks[0, 0] = True
    disc = np.hypot(*np.mgrid[-1:2, -1:2]) <= 1
    mask = ndimage.binary_dilation(np.tile(peaks, (3, 3)), disc)
    height, width = frame.shape
    return np.fft.ifft2(spectrum * mask[height : 2 * height, width : 2 * width]).real


def _lattice_average(frame: NDArray, sigma: float, strength: float) -> NDArray:
    """Return the periodic part of a frame, the second input of the PINNED network."""
    # The first weights leave the frame itself as it is.
    prior = PINNED(n_channels=1, n_blocks=1, n_evidence=1).evidence
    with torch.inference_mode():
        inputs = prior(torch.from_numpy(frame)[None, None])
    return inputs[0, 1].numpy() + frame.mean()


def _bm3d() -> tuple[Peer, tuple[float, ...]] | None:
    try:
        from bm3d import bm3d
    except ImportError:
        return None
    return lambda frame, sigma, strength: bm3d(frame, strength * sigma), (1.0,)


def peers() -> Mapping[str, tuple[Peer, tuple[float, ...]]]:
    """Return every denoiser and the strengths to choose from, by name."""
    found: dict[str, tuple[Peer, tuple[float, ...]]] = {
        "identity": (lambda frame, sigma, strength: frame, (1.0,)),
        "constant": (lambda frame, sigma, strength: np.full_like(frame, frame.mean()), (1.0,)),
        "Gaussian": (
            lambda frame, sigma, width: ndimage.gaussian_filter(frame, width),
            (1.0, 1.5, 2.0, 3.0, 4.0, 6.0),
        ),
        "median": (
            lambda frame, sigma, side: ndimage.median_filter(frame, int(side)),
            (3.0, 5.0, 7.0, 9.0, 13.0),
        ),
        "TV-Chambolle": (
            lambda frame, sigma, weight: denoise_tv_chambolle(frame, weight * sigma),
            (0.5, 1.0, 2.0, 4.0),
        ),
        "NL-means": (
            lambda frame, sigma, strength: denoise_nl_means(
                frame, patch_size=7, patch_distance=11, h=strength * sigma, sigma=sigma
            ),
            (0.4, 0.8),
        ),
        "Bragg filter": (bragg, (5.0, 8.0, 12.0, 20.0)),
        LATTICE_AVERAGE: (_lattice_average, (1.0,)),
    }
    if (with_bm3d := _bm3d()) is None:
        print("BM3D is left out: pip install bm3d (its licence forbids commercial use).")
    else:
        found["BM3D"] = with_bm3d
    return found


def noise_sigma(level: int, signal: float = 75.0) -> float:
    """Return the standard deviation of a pixel with a given signal at a noise level."""
    sigma, share, speckle = CompositeDegradationNoise.LEVELS[level]
    mean = (1 - share) * signal + 127.5 * share
    square = (1 - share) * (signal**2 + sigma**2) + share * 255**2 / 3
    return math.sqrt((1 + speckle) * square - mean**2)


def calibrated(frames: NDArray, level: int) -> NDArray:
    """Invert the mean effect of a noise level on a pixel, E[y] = (1 - p) x + 127.5 p."""
    share = CompositeDegradationNoise.LEVELS[level].share
    return ((frames - 127.5 * share) / (1 - share)).clip(0, 255)


def with_true_gain(frames: NDArray, clean: NDArray) -> NDArray:
    """Scale each frame by the gain and the offset that fit the true frame best.

    In practice both are unknown.
    """
    axes = (1, 2)
    mean, true = frames.mean(axes, keepdims=True), clean.mean(axes, keepdims=True)
    power = ((frames - mean) ** 2).mean(axes, keepdims=True)
    gain = ((frames - mean) * (clean - true)).mean(axes, keepdims=True) / power.clip(1e-9)
    return (true + gain * (frames - mean)).clip(0, 255)
