"""Noise of a camera that counts electrons with a gain and reads out with noise."""

from __future__ import annotations

import math

from ..._arrays import Frames, Generator, as_frames, namespace, normal, poisson
from ._checks import check_not_negative, check_positive


def poisson_gaussian_noise(
    frames: Frames,
    gain: float,
    read_sigma: float,
    pedestal: float = 0.0,
    *,
    generator: Generator | None = None,
) -> Frames:
    r"""Count electrons with a gain, and add the noise of the readout.

    .. math:: I_\mathrm{noisy} = \mathrm{pedestal} + \mathrm{gain}\, P + N, \qquad
        P \sim \mathrm{Poisson}\big((I - \mathrm{pedestal}) / \mathrm{gain}\big), \quad
        N \sim \mathcal{N}(0, \mathrm{read\_sigma}^2)

    So the variance grows linearly with the signal:
    ``gain * (frames - pedestal) + read_sigma**2``.

    Parameters
    ----------
    frames : ndarray or torch.Tensor of shape (..., H, W)
        Expected counts of the camera, its pedestal among them.
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
        In counts of the camera, not cut to whole numbers nor to its range.

    Raises
    ------
    ValueError
        Where the gain is not above 0, ``read_sigma`` is negative, or a pixel lies below the
        pedestal.

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
    check_positive(gain, "gain", "counts per electron")
    check_not_negative(read_sigma, "read_sigma", "counts")
    frames = as_frames(frames)
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
    """Refuse a signal below the pedestal."""
    if bool((electrons < 0).any()):
        raise ValueError(
            f"Negative values in data: the frames lie as far as {float(-electrons.min()):.4g} "
            f"counts below the pedestal, and no number of electrons is negative. Pass the pedestal "
            f"of a dark frame, or clip them there (np.maximum)."
        )


def stabilize_anscombe(
    frames: Frames, gain: float, read_sigma: float, pedestal: float = 0.0
) -> Frames:
    """Map noisy frames so that Poisson-Gaussian noise has a standard deviation of about 1.

    This is Anscombe's transform as generalised to a gain and readout noise [1]_. Where the
    *standard deviation*, not the variance, is linear in the signal take :func:`stabilize_log`.

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
        0 where readout noise leaves less than the transform can take.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

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
    check_positive(gain, "gain", "counts per electron")
    check_not_negative(read_sigma, "read_sigma", "counts")
    frames = as_frames(frames)
    inside = frames - (pedestal - 0.375 * gain - read_sigma**2 / gain)
    inside = namespace(frames).clip(inside, 0, None)
    stable = namespace(frames).sqrt(inside)
    stable *= 2 / math.sqrt(gain)
    return stable


def unstabilize_anscombe(
    frames: Frames, gain: float, read_sigma: float, pedestal: float = 0.0
) -> Frames:
    """Undo :func:`stabilize_anscombe`.

    Parameters
    ----------
    frames : ndarray or torch.Tensor of shape (..., H, W)
        Stabilised frames.
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
        Where a parameter is not what it may be.

    Notes
    -----
    This is the exact algebraic inverse. What has been averaged in between comes back
    ``gain / 4`` too low where there are more than a few electrons per pixel: the square root is
    concave.

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
    check_positive(gain, "gain", "counts per electron")
    check_not_negative(read_sigma, "read_sigma", "counts")
    half = as_frames(frames) / 2
    half *= half
    half *= gain
    half += pedestal - 0.375 * gain - read_sigma**2 / gain
    return half
