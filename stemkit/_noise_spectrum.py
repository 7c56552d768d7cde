"""Whether the noise of a frame is independent from pixel to pixel, from its spectrum."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._spectrum import Spectrum, spectrum

# Frequencies in cycles per px: of the second and the last, white noise has the same power. The
# first two tell how fast the power falls, and the last two whether it still does at the end.
_RISING, _MEDIUM, _HIGH, _HIGHEST = (0.28, 0.36), (0.36, 0.44), (0.57, 0.63), (0.64, 0.71)
# Whiteness above which noise is taken to be independent, and standard errors to be certain.
_WHITE, _CERTAIN = 0.7, 4.0
# Standard deviation in px of the sharpest image of an atom: what is sharper is noise that
# neighbours share. The image of atoms may fall faster at the end than at the beginning, since
# their sizes differ.
_SHARPEST, _SAME = 0.7, 1.22
# Medium power below which, in that of the strongest ring, noise has no influence.
_NEGLIGIBLE = 1e-6
# The same that rounding leaves in frames without noise.
_ROUNDING = 1e-12
# What falls faster than this has no noise at medium frequencies, or noise that was blurred so much
# that it can't be told from edges.
_BLURRED = 1.1
# Lowest frequencies along an axis in steps of the transform, which whole lines share.
_LINES = 2.5
_N_RINGS = 24


class NoiseSpectrum(NamedTuple):
    """What the high frequencies show.

    Attributes
    ----------
    whiteness : float
        Power of the highest frequencies in that of medium ones: 1 if the noise of pixels is
        independent. NaN if it can't be told.
    error : float
        Its standard error.
    independent : bool
        Whether there is noise that is independent from pixel to pixel.
    shared : bool
        Whether there is noise that neighbours share. If neither, no noise stands out of the
        structure, as in frames that are simulated, denoised or smoothed.
    """

    whiteness: float
    error: float
    independent: bool
    shared: bool

    def is_below(self, least: float) -> bool:
        """Return whether the whiteness is certainly below a value, and not by sharp atoms."""
        return not self.independent and self.whiteness + _CERTAIN * self.error < least


def shares_noise(frames: NDArray) -> bool:
    """Return whether neighbouring pixels certainly share noise, or the frames have none.

    Noise that was blurred much can't be told from edges without noise.

    Parameters
    ----------
    frames : ndarray of shape (H, W) or (n_frames, H, W)
        Frames in any unit. Those that are too small to tell are taken for ones that do not.

    Returns
    -------
    bool
    """
    return noise_of(frames).is_below(_WHITE)


def noise_of(frames: NDArray) -> NoiseSpectrum:
    """Compare the power of medium and high frequencies of frames.

    Parameters
    ----------
    frames : ndarray of shape (H, W) or (n_frames, H, W)
        Frames in any unit. Several frames tell more than one; each has the same weight.

    Returns
    -------
    NoiseSpectrum
        NaN for frames that are too small or constant.
    """
    spectra = []
    for frame in frames.reshape(-1, *frames.shape[-2:]):
        # Of any unit, whose squares may not be 0.
        values = frame - frame.mean(dtype=np.float64)
        highest = np.abs(values).max(initial=0)
        known = highest > 1e-9 * np.abs(frame).max(initial=0)
        found = spectrum(values / values.std()) if known else None
        if found is not None:
            spectra.append(found)
    if not spectra:
        return NoiseSpectrum(np.nan, np.nan, True, False)
    mean = np.sqrt(np.mean([np.abs(each.values) ** 2 for each in spectra], axis=0))
    return noise_spectrum(spectra[0]._replace(values=mean), len(spectra))


def noise_spectrum(found: Spectrum, n: int = 1) -> NoiseSpectrum:
    """Compare the power of medium and high frequencies.

    Sharp atoms have medium frequencies too. They fall as the spectrum of a Gaussian from the lowest
    frequencies on, while noise that neighbours share begins where the atoms end.

    Parameters
    ----------
    found : Spectrum
        Of one frame, or the root of the mean power of several.
    n : int, default=1
        Number of frames.

    Returns
    -------
    NoiseSpectrum
    """
    height, width = len(found.fy), 2 * (found.fx.size - 1)
    inside = (np.abs(found.fy) > _LINES / height) & (found.fx > _LINES / width)
    frequency = np.hypot(found.fy, found.fx)[inside]
    power = (np.abs(found.values) ** 2)[inside].astype(np.float64)

    def within(band: tuple[float, float]) -> NDArray:
        return power[(frequency >= band[0]) & (frequency < band[1])]

    rising, medium, high, highest = map(within, (_RISING, _MEDIUM, _HIGH, _HIGHEST))
    whole = np.concatenate([high, highest])
    if min(part.size for part in (rising, medium, high, highest)) < 8:
        return NoiseSpectrum(np.nan, np.nan, True, False)
    # Medians, since reflections of a lattice are few and strong.
    at_rising, at_medium, at_high, at_highest, floor = map(
        _typical, (rising, medium, high, highest, whole)
    )
    if at_medium <= 0 or floor <= 0:
        return NoiseSpectrum(np.nan, np.nan, False, False)
    whiteness = floor / at_medium
    # Neighbouring coefficients share power because of the window; a median is less exact.
    error = whiteness * float(np.sqrt(4.5 / (n * whole.size) + 4.5 / (n * medium.size)))
    if whiteness + _CERTAIN * error > _WHITE:
        return NoiseSpectrum(whiteness, error, True, False)
    rings, strengths = _rings(frequency, power)
    if at_medium < _ROUNDING * strengths.max():
        return NoiseSpectrum(np.nan, np.nan, False, False)
    if at_medium < _NEGLIGIBLE * strengths.max():
        return NoiseSpectrum(whiteness, error, False, False)
    # As fast as the power may fall within twice its standard errors.
    least = at_medium * (1 - 2 * np.sqrt(4.5 / (n * medium.size)))
    falling = _sigma(
        _center(_RISING),
        at_rising - floor,
        _center(_MEDIUM),
        least - floor * (1 + 2 * np.sqrt(4.5 / (n * whole.size))),
    )
    first = int(np.argmax(strengths))
    last = first + int(np.argmax(strengths[first:] < strengths[first] / 20))
    structure = _sigma(
        rings[first], strengths[first] - floor, rings[max(last, first + 1)], strengths[last] - floor
    )
    shared = bool(falling < _SHARPEST or (falling < _BLURRED and structure > _SAME * falling))
    ends = at_high * (1 - 2 * np.sqrt(4.5 / (n * high.size))) < 1.3 * at_highest
    return NoiseSpectrum(whiteness, error, not shared and bool(ends), shared)


def _typical(power: NDArray) -> float:
    """Return the mean of exponentially distributed powers, of which a few may be outliers."""
    return float(np.median(power)) / np.log(2)


def _center(band: tuple[float, float]) -> float:
    return float(np.sqrt((band[0] ** 2 + band[1] ** 2) / 2))


def _rings(frequency: NDArray, power: NDArray) -> tuple[NDArray, NDArray]:
    """Return the frequencies and the typical powers of rings up to the medium frequencies."""
    edges = np.linspace(0, _MEDIUM[1], _N_RINGS + 1)
    order = np.argsort(frequency)
    borders = np.searchsorted(frequency[order], edges)
    parts = [power[order[a:b]] for a, b in itertools.pairwise(borders)]
    known = np.array([part.size >= 8 for part in parts])
    centers = (edges[:-1] + edges[1:]) / 2
    values = np.array([_typical(part) for part in parts if part.size >= 8])
    return centers[known], values


def _sigma(low: float, at_low: float, high: float, at_high: float) -> float:
    """Return the standard deviation in px of a Gaussian whose power falls so; inf if at once."""
    if at_high <= 0:
        return np.inf
    slope = np.log(max(at_low, at_high) / at_high) / (high**2 - low**2)
    return float(np.sqrt(slope) / (2 * np.pi))
