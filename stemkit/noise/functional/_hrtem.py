"""Noise of an HRTEM's scintillator and CMOS camera."""

from __future__ import annotations

from ..._arrays import Frames, Generator, namespace, normal
from ._checks import finite, not_negative, on_frames, positive

# As Li et al. (2026) measured them, in counts.
GAIN, OFFSET, COLUMN_SIGMA = 0.03583, 1.379, 0.6641


@on_frames(sigma=[not_negative("counts")])
def column_noise(
    frames: Frames, sigma: float = COLUMN_SIGMA, *, generator: Generator | None = None
) -> Frames:
    """Add a normal random number to each column of each frame.

    Parameters
    ----------
    frames : ndarray or torch.Tensor of shape (..., H, W)
        Frames in counts, of any real dtype.
    sigma : float, default=0.6641
        Standard deviation in counts.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the noise, of the same library and device; a fresh one by default.

    Returns
    -------
    ndarray or torch.Tensor of the same shape, float32

    Raises
    ------
    ValueError
        If `sigma` is negative or not finite.

    References
    ----------
    .. [1] H. Li, Z. Wu, R. Shao and Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
       High-Resolution Transmission Electron Microscopy Imaging", CVPR 2026, section 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import column_noise
    >>> noisy = column_noise(np.zeros((4, 3)), generator=np.random.default_rng(0))
    >>> bool((noisy == noisy[0]).all())
    True
    """
    return frames + _columns(frames, sigma, generator)


@on_frames(gain=[not_negative()], offset=[finite("counts")])
def pointwise_noise(
    frames: Frames,
    gain: float = GAIN,
    offset: float = OFFSET,
    *,
    generator: Generator | None = None,
) -> Frames:
    """Add normal noise whose standard deviation is ``gain * frames + offset``.

    Parameters
    ----------
    frames : ndarray or torch.Tensor of shape (..., H, W)
        Clean frames in counts, of any real dtype.
    gain : float, default=0.03583
        How much the standard deviation grows for each count of signal.
    offset : float, default=1.379
        Standard deviation in counts at a signal of 0; may be negative if all frames lie on a
        pedestal.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the noise, of the same library and device; a fresh one by default.

    Returns
    -------
    ndarray or torch.Tensor of the same shape, float32

    Raises
    ------
    ValueError
        If a parameter is not finite or `gain` is negative, or if the frames have so few counts
        that the standard deviation would be negative.

    References
    ----------
    .. [1] H. Li, Z. Wu, R. Shao and Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
       High-Resolution Transmission Electron Microscopy Imaging", CVPR 2026, section 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import pointwise_noise
    >>> clean = np.full((500, 500), 75.0)
    >>> noisy = pointwise_noise(clean, generator=np.random.default_rng(0))
    >>> round(float(noisy.std()), 1)  # 0.03583 * 75 + 1.379
    4.1
    """
    sigma = gain * frames
    sigma += offset
    if bool((sigma < 0).any()):
        raise ValueError(
            f"frames reach down to {float(frames.min()):.4g} counts, where gain * signal + offset "
            f"is negative and can't be a standard deviation; subtract the frames' pedestal, or "
            f"clip them at 0."
        )
    noise = normal(frames, tuple(frames.shape), generator)
    noise *= sigma
    noise += frames
    return noise


@on_frames(gain=[not_negative()], offset=[finite("counts")], column_sigma=[not_negative("counts")])
def hrtem_noise(
    frames: Frames,
    gain: float = GAIN,
    offset: float = OFFSET,
    column_sigma: float = COLUMN_SIGMA,
    *,
    generator: Generator | None = None,
) -> Frames:
    r"""Add column noise and pointwise noise, as an HRTEM's camera does.

    .. math:: I_\mathrm{noisy} = I + N_c + N_p(I), \qquad \sigma_p = \mathrm{gain}\,I +
        \mathrm{offset}

    The pointwise noise follows the clean frame, not the frame with column noise [1]_.

    Parameters
    ----------
    frames : ndarray or torch.Tensor of shape (..., H, W)
        Clean frames in counts, of any real dtype.
    gain, offset : float, default=0.03583, 1.379
        As for :func:`pointwise_noise`.
    column_sigma : float, default=0.6641
        Standard deviation of the column noise in counts; 0 for none.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the noise, of the same library and device; a fresh one by default.

    Returns
    -------
    ndarray or torch.Tensor of the same shape, float32
        Neither rounded to whole numbers nor clipped to a detector's range.

    Raises
    ------
    ValueError
        As for :func:`pointwise_noise` and :func:`column_noise`.

    References
    ----------
    .. [1] H. Li, Z. Wu, R. Shao and Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
       High-Resolution Transmission Electron Microscopy Imaging", CVPR 2026, section 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import hrtem_noise
    >>> noisy = hrtem_noise(np.full((8, 64, 64), 75), generator=np.random.default_rng(0))
    >>> noisy.shape, noisy.dtype
    ((8, 64, 64), dtype('float32'))
    """
    noisy = pointwise_noise(frames, gain, offset, generator=generator)
    noisy += _columns(frames, column_sigma, generator)
    return noisy


@on_frames(gain=[positive()], offset=[finite("counts")])
def stabilize_log(frames: Frames, gain: float, offset: float) -> Frames:
    """Transform noisy frames so that their noise has standard deviation 1 at every signal.

    For noise whose standard deviation is ``gain * signal + offset`` this is
    ``log(frames + offset / gain) / gain``, the integral of its inverse. After a square root, such
    as Anscombe's, bright areas would still be noisier.

    Parameters
    ----------
    frames : ndarray or torch.Tensor of shape (..., H, W)
        Noisy frames in counts.
    gain, offset : float
        As for :func:`pointwise_noise`; ``gain`` above 0. With 0 the noise is uniform without any
        transform: divide the frames by ``offset``.

    Returns
    -------
    ndarray or torch.Tensor of the same shape, float32

    Raises
    ------
    ValueError
        If `gain` is not above 0, or if a pixel is not above ``-offset / gain``, where the logarithm
        is not defined.

    See Also
    --------
    unstabilize_log : The inverse.

    Notes
    -----
    The standard deviation is 1 to a relative error of ``1.25 * gain**2``, 0.2 % for the paper's
    0.03583. The logarithm is concave: the mean of transformed values lies ``gain / 2`` below the
    transformed mean, whatever the signal.

    References
    ----------
    .. [1] H. Li, Z. Wu, R. Shao and Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
       High-Resolution Transmission Electron Microscopy Imaging", CVPR 2026, section 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import pointwise_noise, stabilize_log
    >>> rng = np.random.default_rng(0)
    >>> clean = np.array([[20.0], [200.0]]).repeat(50_000, axis=1)
    >>> stable = stabilize_log(pointwise_noise(clean, generator=rng), 0.03583, 1.379)
    >>> stable.std(axis=1).round(2).tolist()
    [1.0, 1.0]
    """
    shifted = frames + offset / gain
    if not bool((shifted > 0).all()):
        raise ValueError(
            f"frames reach down to {float(frames.min()):.4g} counts, but the logarithm is defined "
            f"above -offset / gain = {-offset / gain:.4g}; clip such pixels first (np.maximum)."
        )
    stable = namespace(frames).log(shifted)
    stable /= gain
    return stable


@on_frames(gain=[positive()], offset=[finite("counts")])
def unstabilize_log(frames: Frames, gain: float, offset: float) -> Frames:
    """Undo :func:`stabilize_log`: ``exp(gain * frames) - offset / gain``.

    Parameters
    ----------
    frames : ndarray or torch.Tensor of shape (..., H, W)
        Transformed frames.
    gain, offset : float
        As they were for :func:`stabilize_log`.

    Returns
    -------
    ndarray or torch.Tensor of the same shape, float32
        In counts.

    Raises
    ------
    ValueError
        If `gain` is not above 0, or if the result would be beyond float32.

    Notes
    -----
    This is the exact algebraic inverse. Averages of transformed frames are ``gain / 2`` too low
    (see :func:`stabilize_log`), and so the inverse by ``gain**2 / 2`` of
    ``signal + offset / gain``, 0.06 % for the paper's camera. Add ``gain / 2`` to averages before
    the inverse where that matters.

    References
    ----------
    .. [1] H. Li, Z. Wu, R. Shao and Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
       High-Resolution Transmission Electron Microscopy Imaging", CVPR 2026, section 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import stabilize_log, unstabilize_log
    >>> frame = np.array([[0.0, 75.0, 255.0]])
    >>> unstabilize_log(stabilize_log(frame, 0.03583, 1.379), 0.03583, 1.379).round(3).tolist()
    [[0.0, 75.0, 255.0]]
    """
    counts = namespace(frames).exp(gain * frames)
    counts -= offset / gain
    return counts


def _columns(frames: Frames, sigma: float, generator: Generator | None) -> Frames:
    shape = (*frames.shape[:-2], 1, frames.shape[-1])
    columns = normal(frames, shape, generator)
    columns *= sigma
    return columns
