"""Noise of a camera that counts electrons with a gain and reads out with noise."""

from __future__ import annotations

import math

from ..._arrays import Frames, Generator, namespace, normal, poisson
from ..._constraints import Constraints
from ._checks import finite, not_negative, on_frames, positive

PARAMETERS: dict[str, Constraints] = {
    "gain": [positive("counts per electron")],
    "read_sigma": [not_negative("counts")],
    "pedestal": [finite("counts")],
}


@on_frames(**PARAMETERS)
def poisson_gaussian_noise(
    frames: Frames,
    gain: float,
    read_sigma: float,
    pedestal: float = 0.0,
    *,
    generator: Generator | None = None,
) -> Frames:
    r"""Count electrons with a gain, and add readout noise.

    .. math:: I_\mathrm{noisy} = \mathrm{pedestal} + \mathrm{gain}\, P + N, \qquad
        P \sim \mathrm{Poisson}\big((I - \mathrm{pedestal}) / \mathrm{gain}\big), \quad
        N \sim \mathcal{N}(0, \mathrm{read\_sigma}^2)

    The variance grows linearly with the signal:
    ``gain * (frames - pedestal) + read_sigma**2``.

    Parameters
    ----------
    frames : ndarray or torch.Tensor of shape (..., H, W)
        Expected counts of the camera, pedestal included.
    gain : float
        Counts of the camera for each electron.
    read_sigma : float
        Standard deviation of the readout noise in counts.
    pedestal : float, default=0.0
        Counts of a dark frame.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the noise, of the same library and device; a fresh one by default.

    Returns
    -------
    ndarray or torch.Tensor of the same shape, float32
        In counts of the camera, neither rounded to whole numbers nor clipped to its range.

    Raises
    ------
    ValueError
        If `gain` is not above 0, `read_sigma` is negative, or a pixel lies below the pedestal.

    References
    ----------
    .. [1] A. Foi, M. Trimeche, V. Katkovnik and K. Egiazarian, "Practical Poissonian-Gaussian noise
       modeling and fitting for single-image raw-data", IEEE Trans. Image Processing 17 (2008) 1737.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import poisson_gaussian_noise
    >>> rng = np.random.default_rng(0)
    >>> noisy = poisson_gaussian_noise(np.full((500, 500), 60), 2.0, 3.0, 50.0, generator=rng)
    >>> round(float(noisy.mean())), round(float(noisy.var()))  # 60, and 2 * (60 - 50) + 3**2
    (60, 29)
    """
    electrons = frames - pedestal
    check_no_negative_electrons(electrons)
    electrons /= gain
    counts = poisson(electrons, generator)
    counts *= gain
    counts += pedestal
    noise = normal(frames, tuple(frames.shape), generator)
    noise *= read_sigma
    counts += noise
    return counts


def check_no_negative_electrons(electrons: Frames) -> None:
    """Raise ValueError if a signal lies below the pedestal."""
    if bool((electrons < 0).any()):
        raise ValueError(
            f"Negative values in data: frames lie up to {float(-electrons.min()):.4g} counts "
            f"below the pedestal, but a number of electrons can't be negative. Pass the pedestal "
            f"of a dark frame, or clip the frames there (np.maximum)."
        )


@on_frames(**PARAMETERS)
def stabilize_anscombe(
    frames: Frames, gain: float, read_sigma: float, pedestal: float = 0.0
) -> Frames:
    """Transform noisy frames so that Poisson-Gaussian noise has a standard deviation of about 1.

    This is Anscombe's transform, generalised to a gain and readout noise [1]_. If the *standard
    deviation*, not the variance, is linear in the signal, use :func:`stabilize_log`.

    Parameters
    ----------
    frames : ndarray or torch.Tensor of shape (..., H, W)
        Noisy frames in counts of the camera.
    gain, read_sigma : float
        As for :func:`poisson_gaussian_noise`.
    pedestal : float, default=0.0
        As for :func:`poisson_gaussian_noise`.

    Returns
    -------
    ndarray or torch.Tensor of the same shape, float32
        0 where readout noise brings a pixel below the transform's domain.

    Raises
    ------
    ValueError
        If `gain` is not above 0, `read_sigma` is negative, or a parameter is not finite.

    References
    ----------
    .. [1] J.-L. Starck, F. Murtagh and A. Bijaoui, "Image Processing and Data Analysis",
       Cambridge University Press, 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import poisson_gaussian_noise, stabilize_anscombe
    >>> rng = np.random.default_rng(0)
    >>> clean = np.array([[20.0], [200.0]]).repeat(50_000, axis=1)
    >>> noisy = poisson_gaussian_noise(clean, 2.0, 3.0, generator=rng)
    >>> stable = stabilize_anscombe(noisy, 2.0, 3.0)
    >>> stable.std(axis=1).round(1).tolist()
    [1.0, 1.0]
    """
    inside = frames - (pedestal - 0.375 * gain - read_sigma**2 / gain)
    inside = namespace(frames).clip(inside, 0, None)
    stable = namespace(frames).sqrt(inside)
    stable *= 2 / math.sqrt(gain)
    return stable


@on_frames(**PARAMETERS)
def unstabilize_anscombe(
    frames: Frames, gain: float, read_sigma: float, pedestal: float = 0.0
) -> Frames:
    """Undo :func:`stabilize_anscombe`.

    Parameters
    ----------
    frames : ndarray or torch.Tensor of shape (..., H, W)
        Transformed frames.
    gain, read_sigma : float
        As they were for :func:`stabilize_anscombe`.
    pedestal : float, default=0.0
        As it was for :func:`stabilize_anscombe`.

    Returns
    -------
    ndarray or torch.Tensor of the same shape, float32
        In counts of the camera.

    Raises
    ------
    ValueError
        If `gain` is not above 0, `read_sigma` is negative, or a parameter is not finite.

    Notes
    -----
    This is the exact algebraic inverse. The square root is concave: averages of transformed frames
    come back ``gain / 4`` too low where there are more than a few electrons per pixel.

    References
    ----------
    .. [1] J.-L. Starck, F. Murtagh and A. Bijaoui, "Image Processing and Data Analysis",
       Cambridge University Press, 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import stabilize_anscombe, unstabilize_anscombe
    >>> frame = np.array([[5.0, 75.0, 255.0]])
    >>> unstabilize_anscombe(stabilize_anscombe(frame, 2.0, 3.0), 2.0, 3.0).round(3).tolist()
    [[5.0, 75.0, 255.0]]
    """
    half = frames / 2
    half *= half
    half *= gain
    half += pedestal - 0.375 * gain - read_sigma**2 / gain
    return half
