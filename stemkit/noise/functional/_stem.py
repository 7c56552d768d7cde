"""All effects of a scanning microscope on a clean frame, in the order in which they happen."""

from __future__ import annotations

from ..._arrays import Frames, Generator
from ..._constraints import Constraints
from ._background import slow_background
from ._checks import (
    DECAY,
    DISPLACEMENT,
    SHARE,
    SMOOTH_LENGTH,
    check_no_negative_frames,
    not_negative,
    on_frames,
)
from ._detector import afterglow as add_afterglow
from ._detector import line_gain as vary_line_gain
from ._detector import saturate
from ._reference import Reference, reference_signal
from ._scan import flyback as distort_start
from ._scan import row_jitter as jitter_rows
from ._shot import DOSE, PIXEL_SIZE, shot_noise

# Checked at once, whether or not a part is switched on, under the names that a user typed.
PARAMETERS: dict[str, Constraints] = {
    "dose": [DOSE, None],
    "pixel_size": [PIXEL_SIZE, None],
    "row_jitter": [DISPLACEMENT, None],
    "row_correlation": [not_negative("rows")],
    "flyback": [DISPLACEMENT, None],
    "flyback_decay": [DECAY],
    "background": [not_negative(), None],
    "background_contrast": [not_negative()],
    "background_length": [SMOOTH_LENGTH],
    "afterglow": [SHARE, None],
    "afterglow_decay": [DECAY],
    "line_gain": [not_negative(), None],
    "saturation": [not_negative(), None],
}


@on_frames(**PARAMETERS)
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
    """Simulate how a scanning microscope records clean frames.

    :class:`stemkit.noise.STEMNoise` describes each parameter and the order of the effects.

    Parameters
    ----------
    frames : ndarray or tensor of shape (..., H, W)
        Expected signal in any units, nowhere negative.
    dose, pixel_size, reference : optional
        The electrons; here `reference` may also be an array of shape (..., 1, 1).
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
        If a parameter is out of its range, or a signal is negative.

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
    check_no_negative_frames(frames)
    # That of the clean frames: the background must not change the meaning of a dose.
    reference = reference_signal(frames, reference)
    if row_jitter or flyback:
        if row_jitter:
            frames = jitter_rows(frames, row_jitter, row_correlation, generator=generator)
        if flyback:
            frames = distort_start(frames, flyback, flyback_decay)
        # Interpolation undershoots at sharp edges, but a signal can't be negative.
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
