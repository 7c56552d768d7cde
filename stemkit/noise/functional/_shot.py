"""Shot noise: electrons come one by one."""

from __future__ import annotations

from ..._arrays import Frames, Generator, poisson
from ._checks import check_no_negative_frames, on_frames, positive
from ._reference import Reference, reference_signal

# Leave shot noise out for a frame without noise: no electrons at all give no frame.
DOSE = positive("electrons")
PIXEL_SIZE = positive("nm")


@on_frames(dose=[DOSE], pixel_size=[PIXEL_SIZE, None])
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
    (times the pixel's area if its size is given), other pixels in proportion. The counts are scaled
    back to the frames' units, so that the expectation is the clean frame.

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
        the dose is then the mean number of electrons per pixel. For simulated frames in shares of
        the incident beam use 1.0: the dose is then the incident one.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the noise, of the frames' library and device; a fresh one by default.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32

    Raises
    ------
    ValueError
        If `dose` is not above 0, a signal is negative, or a pixel would hold more than 1e18
        electrons.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import shot_noise
    >>> flat = np.full((100, 100), 7.0)
    >>> noisy = shot_noise(flat, 4.0, pixel_size=0.05, generator=np.random.default_rng(0))
    >>> np.unique(noisy.round(3))[:4].tolist()  # 4 electrons per Å² are 1 per pixel
    [0.0, 7.0, 14.0, 21.0]
    """
    check_no_negative_frames(frames)
    scale = electrons_per_pixel(dose, pixel_size) / reference_signal(frames, reference)
    counts = poisson(frames * scale, generator)
    counts /= scale
    return counts


def electrons_per_pixel(dose: float, pixel_size: float | None) -> float:
    """Return a dose per pixel, converted from one per square angstrom if a pixel size is given."""
    if pixel_size is None:
        return dose
    return dose * (10 * pixel_size) ** 2
