"""All that a scanning microscope adds to a clean frame, in the order in which it happens."""

from __future__ import annotations

from ..._arrays import Frames, Generator, as_frames
from ._background import slow_background
from ._checks import (
    check_length,
    check_no_negative_frames,
    check_not_negative,
    check_positive,
    check_share,
)
from ._detector import afterglow as add_afterglow
from ._detector import line_gain as vary_line_gain
from ._detector import saturate
from ._reference import Reference, reference_signal
from ._scan import flyback as distort_start
from ._scan import row_jitter as jitter_rows
from ._shot import shot_noise


def stem_noise(
    frames: Frames,
    *,
    dose: float | None = 100.0,
    pixel_size: float | None = None,
    reference: Reference = "mean",
    row_jitter: float | None = 0.3,
    row_correlation: float = 4.0,
    flyback: float | None = 1.0,
    flyback_decay: float = 8.0,
    background: float | None = 0.2,
    background_contrast: float = 0.3,
    background_length: float = 64.0,
    afterglow: float | None = 0.2,
    afterglow_decay: float = 1.0,
    line_gain: float | None = 0.01,
    saturation: float | None = None,
    generator: Generator | None = None,
) -> Frames:
    """Make frames as a scanning microscope records them out of clean ones.

    :class:`stemkit.noise.STEMNoise` describes the order of what happens, and each parameter.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W)
        Expected signal in any units, nowhere negative.
    dose, pixel_size, reference : optional
        The electrons; here the reference may also be an array of shape (..., 1, 1).
    row_jitter, row_correlation, flyback, flyback_decay : optional
        The scan.
    background, background_contrast, background_length : optional
        The background.
    afterglow, afterglow_decay, line_gain, saturation : optional
        The detector.
    generator : numpy.random.Generator or torch.Generator, optional
        Source of everything random, of the frames' library and device; a fresh one by default.

    Returns
    -------
    ndarray or tensor of shape (..., H, W), float32

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
    >>> from stemkit.noise.functional import stem_noise
    >>> batch = np.ones((4, 64, 64), dtype="float32")
    >>> noisy = stem_noise(batch, dose=20, generator=np.random.default_rng(0))
    >>> noisy.shape, noisy.dtype
    ((4, 64, 64), dtype('float32'))
    """
    frames = as_frames(frames)
    check_no_negative_frames(frames)
    # All here, where they have the names that were typed, and whether or not their part is on.
    check_not_negative(row_jitter or 0, "row_jitter", "px")
    check_not_negative(row_correlation, "row_correlation", "rows")
    check_not_negative(flyback or 0, "flyback", "px")
    check_positive(flyback_decay, "flyback_decay", "px")
    check_not_negative(background or 0, "background", "shares of the reference")
    check_not_negative(background_contrast, "background_contrast", "shares of the background")
    check_length(background_length, "background_length")
    check_share(afterglow or 0, "afterglow")
    check_positive(afterglow_decay, "afterglow_decay", "px")
    check_not_negative(line_gain or 0, "line_gain", "shares of the signal")
    check_not_negative(saturation or 0, "saturation", "multiples of the reference")
    # Of the clean frames once and for all: what is added later does not change what a dose means.
    reference = reference_signal(frames, reference)
    if row_jitter or flyback:
        if row_jitter:
            frames = jitter_rows(frames, row_jitter, row_correlation, generator=generator)
        if flyback:
            frames = distort_start(frames, flyback, flyback_decay)
        # Interpolation undershoots beside sharp edges, where a signal can't.
        frames = frames.clip(min=0)
    if background:
        frames = slow_background(
            frames,
            background,
            background_contrast,
            background_length,
            reference=reference,
            generator=generator,
        )
    if dose is not None:
        frames = shot_noise(
            frames, dose, pixel_size=pixel_size, reference=reference, generator=generator
        )
    if afterglow:
        frames = add_afterglow(frames, afterglow, afterglow_decay)
    if line_gain:
        frames = vary_line_gain(frames, line_gain, generator=generator)
    if saturation:
        frames = saturate(frames, saturation, reference=reference)
    return frames
