"""Shot noise: electrons come one by one."""

from __future__ import annotations

import math
from numbers import Real

from ..._arrays import Frames, Generator, as_frames, poisson
from ._checks import check_no_negative_frames, check_positive
from ._reference import Reference, reference_signal


def shot_noise(
    frames: Frames,
    dose: float,
    *,
    pixel_size: float | None = None,
    reference: Reference = "mean",
    generator: Generator | None = None,
) -> Frames:
    """Count electrons one by one, at a given dose.

    A pixel whose signal equals the reference collects a Poisson number of electrons of mean `dose`
    (times the pixel's area, where its size is given), others in proportion. The counts are scaled
    back to the frames' units, so the expectation is the clean frame.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W)
        Expected signal in any units, nowhere negative.
    dose : float
        Electrons per pixel or, with a pixel size, per square angstrom.
    pixel_size : float, optional
        Side of a pixel in nm, as everywhere in stemkit.
    reference : "mean", float or array of shape (..., 1, 1), default="mean"
        The signal, in the frames' units, that collects the dose. "mean" is each frame's own mean:
        the dose is what the detector counts per pixel on average. For simulated frames in shares of
        the incident beam take 1.0: then the dose is the incident one.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the noise, of the frames' library and device; a fresh one by default.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32

    Raises
    ------
    ValueError
        Where the dose is not above 0, or a signal is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import shot_noise
    >>> flat = np.full((100, 100), 7.0)
    >>> noisy = shot_noise(flat, 4.0, pixel_size=0.05, generator=np.random.default_rng(0))
    >>> np.unique(noisy.round(3))[:4].tolist()  # 4 electrons per Å² are 1 per pixel
    [0.0, 7.0, 14.0, 21.0]
    """
    frames = as_frames(frames)
    check_no_negative_frames(frames)
    scale = electrons_per_pixel(dose, pixel_size) / reference_signal(frames, reference)
    counts = poisson(frames * scale, generator)
    counts /= scale
    return counts


def electrons_per_pixel(dose: float, pixel_size: float | None) -> float:
    """Return a dose in electrons per pixel: as it is, or that of a pixel's square angstroms."""
    if not (isinstance(dose, Real) and 0 < dose < math.inf):
        raise ValueError(
            f"dose must be a finite number of electrons above 0; got {dose!r}. "
            f"Without electrons there is no frame; for no noise leave shot noise out."
        )
    if pixel_size is None:
        return dose
    check_positive(pixel_size, "pixel_size", "nm")
    return dose * (10 * pixel_size) ** 2
