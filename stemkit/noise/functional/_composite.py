"""The parts of composite degradation noise: Gaussian, static and speckle."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._arrays import Frames, Generator, is_tensor, namespace, normal, uniform
from ._checks import as_strengths, finite, on_frames


@on_frames()
def gaussian_noise(frames: Frames, sigma: Any, *, generator: Generator | None = None) -> Frames:
    """Add normal noise with the same standard deviation in every pixel.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W)
        Frames.
    sigma : float or array of shape (..., 1, 1)
        Standard deviation in the frames' units; 0 for no noise.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the noise, of the frames' library and device; a fresh one by default.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32

    Raises
    ------
    ValueError
        If `sigma` is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import gaussian_noise
    >>> flat = np.full((100, 100), 40.0)
    >>> noisy = gaussian_noise(flat, 5.0, generator=np.random.default_rng(0))
    >>> round(float(noisy.mean())), round(float(noisy.std()))
    (40, 5)
    """
    sigma = as_strengths(sigma, "sigma", frames)
    return frames + sigma * normal(frames, tuple(frames.shape), generator)


@on_frames(low=[finite()], high=[finite()])
def static_noise(
    frames: Frames,
    share: Any,
    *,
    low: float = 0.0,
    high: float = 255.0,
    generator: Generator | None = None,
) -> Frames:
    """Replace a share of the pixels by uniform random values.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W)
        Frames.
    share : float or array of shape (..., 1, 1)
        Probability that a pixel is replaced, 0 to 1.
    low, high : float, default=0 and 255
        Range of the random values, in the frames' units.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the noise, of the frames' library and device; a fresh one by default.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32

    Raises
    ------
    ValueError
        If `share` is not between 0 and 1, or `low` is not below `high`.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import static_noise
    >>> dark = np.zeros((100, 100))
    >>> noisy = static_noise(dark, 0.2, generator=np.random.default_rng(0))
    >>> round(float((noisy > 0).mean()), 1), round(float(noisy.max()))
    (0.2, 255)
    """
    share = as_strengths(share, "share", frames, most=1.0)
    check_range(low, high)
    # One number both decides and replaces: if it is below the share, it is uniform from 0 to it.
    drawn = uniform(frames, tuple(frames.shape), generator)
    xp = namespace(frames)
    replaced = low + (high - low) * drawn / xp.clip(_as_array(frames, share), 1e-12, None)
    return xp.where(drawn < share, replaced, frames)


@on_frames()
def speckle_noise(frames: Frames, variance: Any, *, generator: Generator | None = None) -> Frames:
    """Multiply each pixel by 1 + n, with n normal.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W)
        Frames.
    variance : float or array of shape (..., 1, 1)
        Variance of n; 0 for no noise.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the noise, of the frames' library and device; a fresh one by default.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32
        Negative where n is below -1.

    Raises
    ------
    ValueError
        If `variance` is negative or not finite.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import speckle_noise
    >>> flat = np.full((100, 100), 40.0)
    >>> noisy = speckle_noise(flat, 0.25, generator=np.random.default_rng(0))
    >>> round(float(noisy.mean())), round(float(noisy.std()))
    (40, 20)
    """
    variance = as_strengths(variance, "variance", frames)
    return frames * (1 + variance**0.5 * normal(frames, tuple(frames.shape), generator))


@on_frames()
def composite_noise(
    frames: Frames,
    sigma: Any,
    share: Any,
    variance: Any,
    *,
    generator: Generator | None = None,
) -> Frames:
    r"""Add normal noise, replace pixels by static, and multiply by speckle, in this order.

    A pixel of signal x has the mean :math:`(1 - p)\, x + 127.5\, p` afterwards and the mean square
    :math:`(1 + v)\, [(1 - p) (x^2 + \sigma^2) + p\, 255^2 / 3]`.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W)
        Frames on a scale of 0 to 255.
    sigma : float or array of shape (..., 1, 1)
        Standard deviation :math:`\sigma` of the normal noise.
    share : float or array of shape (..., 1, 1)
        Probability p of each pixel to be replaced by a uniform value from 0 to 255.
    variance : float or array of shape (..., 1, 1)
        Variance v of the factor.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the noise, of the frames' library and device; a fresh one by default.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32
        Not clipped.

    Raises
    ------
    ValueError
        If `sigma` or `variance` is negative, or `share` is not between 0 and 1.

    References
    ----------
    .. [1] Awan et al., "Physics informed neural network enhanced denoising for atomic resolution
       STEM imaging".

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import composite_noise
    >>> flat = np.full((200, 200), 200.0)
    >>> noisy = composite_noise(flat, 50, 0.5, 0.2, generator=np.random.default_rng(0))
    >>> round(float(noisy.mean()) / (0.5 * 200 + 0.5 * 127.5), 2)
    1.0
    """
    frames = gaussian_noise(frames, sigma, generator=generator)
    frames = static_noise(frames, share, generator=generator)
    return speckle_noise(frames, variance, generator=generator)


def _as_array(frames: Frames, values: Any) -> Any:
    if is_tensor(frames):
        return namespace(frames).as_tensor(values, dtype=frames.dtype, device=frames.device)
    return np.asarray(values, dtype=np.float32)


def check_range(low: float, high: float) -> None:
    """Raise ValueError if the range of random values is empty."""
    if not low < high:
        raise ValueError(f"low must be below high; got {low} and {high}.")
