"""What a scanning probe does that is not quite where it should be: row jitter and flyback."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..._arrays import (
    Frames,
    Generator,
    as_frames,
    is_tensor,
    namespace,
    normal,
    on_device_of,
)
from ._checks import check_not_negative, check_positive
from ._recursion import accumulate

# Pixels, relative to the one left of a point, whose values that between them is made of.
_TAPS = np.arange(-4, 6)
_OTHERS = ~np.eye(len(_TAPS), dtype=bool)
_DENOMINATORS = np.prod(np.subtract.outer(_TAPS, _TAPS), axis=1, where=_OTHERS).astype(np.float32)
_BLOCK = 2**18  # pixels shifted at a time, so that temporary arrays stay small
_SETTLED = 1e-3  # px; nearer than this to where it should be, the probe has arrived


def row_jitter(
    frames: Frames,
    sigma: float,
    correlation: float = 4.0,
    *,
    generator: Generator | None = None,
) -> Frames:
    r"""Displace each row along the fast axis, as an unsteady probe does.

    The displacements are Gaussian, and correlated from row to row as an Ornstein-Uhlenbeck process
    is: :math:`\langle s_i s_j \rangle = \sigma^2 \exp(-|i - j| / L)`.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W), float32
        Frames whose rows are the fast axis.
    sigma : float
        Standard deviation of the displacement, in px; 0 for none.
    correlation : float, default=4.0
        Distance L, in rows, over which displacements resemble each other; 0 if they don't.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of the displacements, of the frames' library and device; a fresh one by default.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32
        :func:`shift_rows` says how it is interpolated.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

    References
    ----------
    .. [1] L. Jones and P. D. Nellist, "Identifying and correcting scan noise and drift in the
       scanning transmission electron microscope", Microsc. Microanal. 19 (2013) 1050.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import row_jitter
    >>> stripes = np.tile(np.sin(np.arange(64) / 2), (64, 1)).astype("float32")
    >>> jittered = row_jitter(stripes, 0.5, 4.0, generator=np.random.default_rng(0))
    >>> bool(jittered.std(axis=0).max() > 0.1)  # the stripes are no longer straight
    True
    """
    frames = as_frames(frames)
    check_not_negative(sigma, "sigma", "px")
    check_not_negative(correlation, "correlation", "rows")
    if sigma == 0:
        return frames
    shift = normal(frames, frames.shape[:-1], generator)
    if correlation > 0:
        factor = math.exp(-1 / correlation)
        # The first row keeps its full variance, so that the process is stationary from there on.
        shift[..., 1:] *= math.sqrt(1 - factor * factor)
        shift = accumulate(shift, factor)
    return shift_rows(frames, sigma * shift)


def shift_rows(frames: Frames, shift: Frames) -> Frames:
    """Record each row some way to the right, in whole pixels and fractions of them.

    Values between pixels come from the polynomial through the 10 pixels around. It is exact for
    polynomials up to the ninth degree, so it biases no position; it errs by at most 0.01 % of the
    amplitude up to 0.15 cycles per pixel and by 1 % at 0.25, and by 0.04 % of the peak on a
    Gaussian atom of 1.7 px standard deviation. Linear interpolation errs by 11, 29 and 4 %. The
    scene beyond the border is not known, and taken to be the frame's mirror image: nothing wraps
    around.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W), float32
        Frames whose rows are the fast axis.
    shift : ndarray or tensor of shape (..., H), float32
        How far to the right each row is recorded, in px.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import shift_rows
    >>> ramp = np.arange(16, dtype="float32").reshape(1, 16)
    >>> shift_rows(ramp, np.array([0.25], dtype="float32"))[0, 6:9].tolist()
    [5.75, 6.75, 7.75]
    """
    frames = as_frames(frames)
    if tuple(shift.shape) != tuple(frames.shape[:-1]):
        raise ValueError(
            f"shift must hold a number for each row, so have shape {tuple(frames.shape[:-1])}; "
            f"got {tuple(shift.shape)}."
        )
    xp = namespace(frames)
    width = frames.shape[-1]
    source = frames.reshape(-1, width)
    origin = -shift.reshape(-1, 1)
    window = on_device_of(frames, np.arange(_TAPS[0], width + _TAPS[-1]))
    result = xp.empty_like(source)
    rows = max(1, _BLOCK // width)
    for start in range(0, len(source), rows):
        block = slice(start, start + rows)
        whole = xp.floor(origin[block])
        weights = _weights(origin[block] - whole)
        # All pixels of a row lie equally far between two others: gathered once, weighted 10 times.
        index = _mirrored(xp.asarray(whole, dtype=xp.int64) + window, width)
        found = _gather(source[block], index)
        total = result[block]
        total[...] = weights[:, :1] * found[:, :width]
        for tap in range(1, len(_TAPS)):
            total += weights[:, tap : tap + 1] * found[:, tap : tap + width]
    return result.reshape(frames.shape)


def flyback(frames: Frames, amplitude: float, decay: float = 8.0) -> Frames:
    r"""Distort the start of each row, where the probe has not yet settled after flying back.

    The probe comes from the right-hand end of the row before. At pixel j of the new row it is
    still :math:`a\,e^{-j/\tau}` px to the right of where it should be, so what lies there is
    stretched. With an amplitude a larger than the decay it would still move backwards.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W), float32
        Frames whose rows are the fast axis.
    amplitude : float
        How far off the probe is at the first pixel of a row, in px; 0 for not at all.
    decay : float, default=8.0
        Pixels after which 1/e of the displacement is left.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32
        Interpolated as :func:`shift_rows` is.

    Raises
    ------
    ValueError
        Where a parameter is not what it may be.

    References
    ----------
    .. [1] L. Jones and P. D. Nellist, "Identifying and correcting scan noise and drift in the
       scanning transmission electron microscope", Microsc. Microanal. 19 (2013) 1050.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise.functional import flyback
    >>> ramp = np.arange(32, dtype="float32").reshape(1, 32)
    >>> flyback(ramp, 4.0, 4.0)[0, 4:8].round(2)  # j + 4 exp(-j / 4)
    array([5.47, 6.15, 6.89, 7.7 ], dtype=float32)
    """
    frames = as_frames(frames)
    check_not_negative(amplitude, "amplitude", "px")
    check_positive(decay, "decay", "px")
    if amplitude <= _SETTLED:
        return frames
    width = frames.shape[-1]
    column = np.arange(min(width, math.ceil(decay * math.log(amplitude / _SETTLED))))
    origin = column + amplitude * np.exp(-column / decay)
    whole = np.floor(origin)
    weights = on_device_of(frames, _weights((origin - whole)[:, np.newaxis]).astype(np.float32))
    index = _mirrored(whole.astype(np.int64)[:, np.newaxis] + _TAPS, width)
    result = namespace(frames).empty_like(frames)
    result[..., len(column) :] = frames[..., len(column) :]
    settling = result[..., : len(column)]
    settling[...] = 0
    for tap in range(len(_TAPS)):
        settling += weights[:, tap] * frames[..., on_device_of(frames, index[:, tap])]
    return result


def _weights(fraction: Any) -> Any:
    """Lagrange's weights (n, 10) of the pixels around points this far, (n, 1), between two."""
    xp = namespace(fraction)
    steps = fraction - on_device_of(fraction, _TAPS.astype(np.float32))
    others = on_device_of(fraction, _OTHERS)
    return xp.where(others, steps[:, None], 1).prod(-1) / on_device_of(fraction, _DENOMINATORS)


def _mirrored(index: Any, width: int) -> Any:
    """Fold what lies beyond the border back into 0..width - 1, however far it lies."""
    index = index % (2 * width)
    return namespace(index).where(index < width, index, 2 * width - 1 - index)


def _gather(rows: Any, index: Any) -> Any:
    if is_tensor(rows):
        return rows.take_along_dim(index, dim=-1)
    return np.take_along_axis(rows, index, axis=-1)
