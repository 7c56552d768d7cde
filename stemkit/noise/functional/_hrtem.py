"""Noise of an HRTEM's scintillator and CMOS camera."""

from __future__ import annotations

import math
from numbers import Real

from ..._arrays import Frames, Generator, as_frames, namespace, normal
from ._checks import check_not_negative, check_positive

# What Li et al. (2026) measured, in counts.
GAIN, OFFSET, COLUMN_SIGMA = 0.03583, 1.379, 0.6641


def column_noise(
    frames: Frames, sigma: float = COLUMN_SIGMA, *, generator: Generator | None = None
) -> Frames:
    """Add to each column of each frame a normal number of its own.

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
        Where ``sigma`` is negative or not finite.

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
    check_not_negative(sigma, "sigma", "counts")
    frames = as_frames(frames)
    return frames + _columns(frames, sigma, generator)


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
        Standard deviation in counts at a signal of 0; may be negative where a pedestal lies below
        all frames.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the noise, of the same library and device; a fresh one by default.

    Returns
    -------
    ndarray or torch.Tensor of the same shape, float32

    Raises
    ------
    ValueError
        Where a parameter is not finite or ``gain`` is negative, or where the frames are so far
        down that the standard deviation would be negative.

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
    check_hrtem_parameters(gain, offset)
    frames = as_frames(frames)
    sigma = gain * frames
    sigma += offset
    if bool((sigma < 0).any()):
        raise ValueError(
            f"frames hold {float(frames.min()):.4g} counts, where gain * signal + offset is "
            f"negative and can't be a standard deviation; subtract the frames' pedestal, or clip "
            f"them at 0."
        )
    noise = normal(frames, tuple(frames.shape), generator)
    noise *= sigma
    noise += frames
    return noise


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
        Not cut to whole numbers nor to a detector's range.

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
    check_hrtem_parameters(gain, offset, column_sigma)
    frames = as_frames(frames)
    noisy = pointwise_noise(frames, gain, offset, generator=generator)
    noisy += _columns(frames, column_sigma, generator)
    return noisy


def stabilize_log(frames: Frames, gain: float, offset: float) -> Frames:
    """Map noisy frames so that their noise has standard deviation 1 at every signal.

    For noise whose standard deviation is ``gain * signal + offset`` this is
    ``log(frames + offset / gain) / gain``, the integral of its inverse. A square root, like
    Anscombe's, would leave bright places the noisier.

    Parameters
    ----------
    frames : ndarray or torch.Tensor of shape (..., H, W)
        Noisy frames in counts.
    gain, offset : float
        As for :func:`pointwise_noise`; ``gain`` above 0.

    Returns
    -------
    ndarray or torch.Tensor of the same shape, float32

    Raises
    ------
    ValueError
        Where a parameter is not what it may be, or where a pixel lies at or below
        ``-offset / gain``, where there is no logarithm.

    See Also
    --------
    unstabilize_log : The way back.

    Notes
    -----
    The standard deviation is 1 but for a share of ``1.25 * gain**2``; the paper's 0.03583 makes
    that 0.2 %. A logarithm is concave: the mean of what it maps lies ``gain / 2`` below the map of
    the mean, whatever the signal.

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
    _check_stabilizer(gain, offset)
    frames = as_frames(frames)
    shifted = frames + offset / gain
    if not bool((shifted > 0).all()):
        raise ValueError(
            f"frames hold {float(frames.min()):.4g} counts, but the logarithm begins above "
            f"-offset / gain = {-offset / gain:.4g}; clip such pixels first (np.maximum)."
        )
    stable = namespace(frames).log(shifted)
    stable /= gain
    return stable


def unstabilize_log(frames: Frames, gain: float, offset: float) -> Frames:
    """Undo :func:`stabilize_log`: ``exp(gain * frames) - offset / gain``.

    Parameters
    ----------
    frames : ndarray or torch.Tensor of shape (..., H, W)
        Stabilised frames.
    gain, offset : float
        As they were for :func:`stabilize_log`.

    Returns
    -------
    ndarray or torch.Tensor of the same shape, float32
        In counts.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

    Notes
    -----
    This is the exact algebraic inverse: a frame mapped there and back is the same. What has been
    averaged in between lies ``gain / 2`` too low there (see :func:`stabilize_log`), and here by a
    share of ``gain**2 / 2`` of ``signal + offset / gain``, 0.06 % for the paper's camera. Add
    ``gain / 2`` to averages before you map them back where that matters.

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
    _check_stabilizer(gain, offset)
    counts = namespace(frames).exp(gain * as_frames(frames))
    counts -= offset / gain
    return counts


def check_hrtem_parameters(gain: float, offset: float, column_sigma: float = 0.0) -> None:
    """Refuse what no camera has."""
    check_not_negative(gain, "gain", "counts per count")
    check_not_negative(column_sigma, "column_sigma", "counts")
    _check_offset(offset)


def _columns(frames: Frames, sigma: float, generator: Generator | None) -> Frames:
    shape = (*frames.shape[:-2], 1, frames.shape[-1])
    columns = normal(frames, shape, generator)
    columns *= sigma
    return columns


def _check_stabilizer(gain: float, offset: float) -> None:
    if gain == 0:
        raise ValueError(
            "gain must be above 0 for a logarithm; with 0 the noise is the same everywhere: divide "
            "the frames by offset."
        )
    check_positive(gain, "gain", "counts per count")
    _check_offset(offset)


def _check_offset(offset: float) -> None:
    # Below 0 where frames lie on a pedestal: there is no signal of 0 then.
    if not (isinstance(offset, Real) and math.isfinite(offset)):
        raise ValueError(f"offset must be a finite number of counts; got {offset!r}.")
