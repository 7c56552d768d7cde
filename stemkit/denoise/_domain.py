"""Check frames against those that a network was trained on.

The card of weights describes them under "domain", with these keys, all optional: "background" and
"noise", the median and the noise level to which frames are scaled; "background_range" and
"noise_range"; "atom_sigma", the range of the atoms' standard deviation in px as
`spectral_statistics` measures it; "least_whiteness"; "atoms", which may be "bright".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Float32Array
from .._frame_statistics import (
    DARK,
    MIN_SIDE,
    contrast_skewness,
    mean_noise_level,
    spectral_statistics,
)
from .._noise_spectrum import NoiseSpectrum, noise_of
from .._warnings import is_first, warn_caller
from ..exceptions import OutOfDomainWarning

_TYPICAL_SIGMA = 1.5


def warn_of_domain(denoiser: Any, frames: Iterable[Float32Array], *, scaled: bool) -> None:
    """Warn of the first frame that is unlike the training frames of the weights.

    Parameters
    ----------
    denoiser : SupervisedDenoiser
        Nothing is checked if its ``domain_`` is empty.
    frames : iterable of ndarray of shape (H, W)
        Frames as the network gets them.
    scaled : bool
        Whether their median and noise were set, and need no check.
    """
    for index, frame in enumerate(frames if denoiser.domain_ else ()):
        reasons = list(_differences(frame, denoiser.domain_, scaled=scaled))
        if reasons and is_first((OutOfDomainWarning, type(denoiser))):
            warn_caller(
                f"Frame {index} of X is unlike the frames that the weights of "
                f"{type(denoiser).__name__} were trained on, and its result may be wrong: "
                f"{'; '.join(reasons)}.",
                OutOfDomainWarning,
            )
            return


def warn_of_scale(denoiser: Any, frames: Float32Array) -> None:
    """Warn if training frames have another scale than those that the weights come from.

    Parameters
    ----------
    denoiser : SupervisedDenoiser
        Nothing is checked if its ``domain_`` is empty.
    frames : ndarray of shape (n_frames, H, W)
        A first batch of training frames.
    """
    reasons = list(_differences_of_scale(frames, denoiser.domain_))
    if reasons:
        warn_caller(
            f"X is scaled differently from the frames that the weights of "
            f"{type(denoiser).__name__} were trained on, so the training starts from a network "
            f"that does not fit: {'; '.join(reasons)}.",
            OutOfDomainWarning,
        )


def _differences(frame: NDArray, domain: Mapping[str, Any], *, scaled: bool) -> Iterable[str]:
    if not scaled:
        yield from _differences_of_scale(frame, domain)
    if min(frame.shape) < MIN_SIDE:
        return
    found = spectral_statistics(frame)
    yield from _differences_of_noise(noise_of(frame), domain)
    low, high = domain.get("atom_sigma", (0.0, np.inf))
    known = np.isfinite(found.atom_sigma)
    if known and not low <= found.atom_sigma <= high:
        yield (
            f"its structure has a standard deviation of {found.atom_sigma:.1f} px, the atoms of "
            f"the training {low:g} to {high:g} px"
        )
    if domain.get("atoms") == "bright":
        skewness = contrast_skewness(frame, found.atom_sigma if known else _TYPICAL_SIGMA)
        if skewness < DARK:
            yield (
                f"its atoms look dark (skewness {skewness:.1f}), those of the training are bright: "
                f"pass -X, or use MatchedDenoiser(atoms='dark')"
            )


def _differences_of_scale(frames: NDArray, domain: Mapping[str, Any]) -> Iterable[str]:
    noise = mean_noise_level(frames)
    if noise == 0:
        return  # an empty frame, in which nothing is invented
    values = {"background": float(np.median(frames)), "noise": noise}
    for name, value in values.items():
        low, high = domain.get(f"{name}_range", (-np.inf, np.inf))
        if not low <= value <= high:
            yield (
                f"its {name} is {value:.3g}, that of the training {low:g} to {high:g}, so rescale "
                f"it or set normalize='frame'"
            )


def _differences_of_noise(found: NoiseSpectrum, domain: Mapping[str, Any]) -> Iterable[str]:
    least = domain.get("least_whiteness", 0.0)
    if found.is_below(least):
        yield (
            f"neighbouring pixels share noise, as after interpolation or by a camera's blur (power "
            f"of the finest details {found.whiteness:.2f} of that of white noise): bin it, or "
            f"denoise the frames as they were recorded"
        )
