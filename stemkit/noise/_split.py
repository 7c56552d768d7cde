"""Split one exposure into two, as if the camera had been read twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._constraints import HasMethods, Interval, check_arguments
from .._validation import Float32Array, check_frames
from ._base import fitted_noise

Float64Array = NDArray[np.float64]


@check_arguments(
    noise=[HasMethods("unstabilize", example="HRTEMNoise() or PoissonGaussianNoise()")],
    fraction=[Interval(float, 0, 1, closed="neither")],
    generator=[np.random.Generator, None],
)
def split_exposure(
    frames: ArrayLike,
    noise: Any,
    *,
    fraction: float = 0.5,
    generator: np.random.Generator | None = None,
) -> tuple[Float32Array, Float32Array]:
    r"""Split each frame into two of the same field, whose noise is independent.

    Electrons that were counted one by one are divided at random, each to the first frame with the
    probability ``fraction``: two exposures with parts of the dose [1]_. If there is other noise,
    too, the frames are transformed so that it is normal and uniform (by the logarithm of
    :class:`HRTEMNoise` or Anscombe's root of :class:`PoissonGaussianNoise`), and further noise of
    the camera's kind is added to one and subtracted from the other, in proportions that leave the
    two uncorrelated [2]_. Column noise is split likewise.

    Parameters
    ----------
    frames : array-like of shape (n_frames, H, W)
        Noisy frames, in the counts in which ``noise`` was measured.
    noise : HRTEMNoise or PoissonGaussianNoise
        The camera's noise; calibrated, or with its parameters.
    fraction : float, default=0.5
        Share of the dose that the first frame gets, above 0 and below 1. The variance of its noise
        is that of the frame divided by this; that of the second, divided by one minus this.
    generator : numpy.random.Generator, optional
        Source of the split; a fresh one by default.

    Returns
    -------
    first : ndarray of shape (n_frames, H, W), float32
        Frames with the same expectation as the given ones.
    second : ndarray of shape (n_frames, H, W), float32
        Likewise.

    Raises
    ------
    ValueError
        If `noise` can't be split, `fraction` is out of range, or the frames hold values that are
        impossible with this noise.

    Notes
    -----
    Dividing electrons is exact. It is done if there is neither readout nor column noise and all
    pixels are whole numbers of electrons. Otherwise the split is as good as the transform makes
    noise normal: Anscombe's root from about four electrons per pixel.

    References
    ----------
    .. [1] Neufeld et al., "Data thinning for convolution-closed distributions", J. Mach. Learn.
       Res. 25 (2024).
    .. [2] Pang et al., "Recorrupted-to-Recorrupted: unsupervised deep learning for image
       denoising", CVPR 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import PoissonGaussianNoise, split_exposure
    >>> camera = PoissonGaussianNoise(gain=2.0, random_state=0)
    >>> frame = camera.fit_transform(np.full((1, 128, 128), 20.0))
    >>> first, second = split_exposure(frame, camera, generator=np.random.default_rng(0))
    >>> round(float(first.mean())), bool(((first + second) / 2 == frame).all())
    (20, True)
    >>> bool(abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03)
    True
    """
    noisy = check_frames(frames, name="frames").astype(float)
    generator = np.random.default_rng() if generator is None else generator
    noise = fitted_noise(noise)
    electrons = _electrons(noisy, noise)
    if electrons is not None:
        part = generator.binomial(electrons, fraction)
        first, second = (
            noise.gain_ * counts / share + noise.pedestal
            for counts, share in ((part, fraction), (electrons - part, 1 - fraction))
        )
    else:
        first, second = _split_normal(noisy, noise, fraction, generator)
    return first.astype(np.float32), second.astype(np.float32)


def _electrons(noisy: Float64Array, noise: Any) -> NDArray[np.int64] | None:
    """Return the electrons of each pixel; None if pixels are not whole numbers of them."""
    if getattr(noise, "read_sigma_", 1.0) or noise.column_sigma_:
        return None
    counts = (noisy - noise.pedestal) / noise.gain_
    whole = np.rint(counts)
    # float32 frames of many counts are whole numbers of electrons to its precision only
    if (whole < 0).any() or not np.allclose(counts, whole, rtol=1e-5, atol=1e-3):
        return None
    return whole.astype(np.int64)


def _split_normal(
    noisy: Float64Array, noise: Any, fraction: float, generator: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    stable = _mapped(noise.stabilize, noisy)
    columns = generator.standard_normal((len(noisy), 1, noisy.shape[2])) * noise.column_sigma_
    added = generator.standard_normal(noisy.shape)
    if noise.column_sigma_:
        added += _mapped(noise.stabilize, noisy + columns) - stable
    strength = np.sqrt((1 - fraction) / fraction)
    parts = []
    for step in (strength, -1 / strength):
        back = _mapped(noise.unstabilize, stable + step * added)
        # The inverse is curved, so added noise shifts the mean. The shift is computed from three
        # points in place of the normal distribution, exact up to fifth order.
        outer = [_mapped(noise.unstabilize, stable + sign * np.sqrt(3) * step) for sign in (-1, 1)]
        parts.append(back - ((outer[0] + outer[1]) / 6 + noisy * 2 / 3 - noisy))
    return parts[0], parts[1]


def _mapped(function: Any, frames: Float64Array) -> Float64Array:
    return np.asarray(function(frames), dtype=float)
