"""All effects of a scanning microscope on a clean frame."""

from __future__ import annotations

from typing import ClassVar, Literal

from .._arrays import Frames, Generator
from .._random import RandomState
from . import functional
from ._base import SignalNoise
from .functional._reference import REFERENCE
from .functional._stem import PARAMETERS


class STEMNoise(SignalNoise):
    r"""Simulate how a scanning transmission electron microscope records frames.

    The effects are applied in the order in which they happen in the microscope:

    1. The **scan**: row jitter and flyback displace the clean image. Electrons are counted where
       the probe is, so this comes before the noise, which must not be smoothed by interpolation.
    2. The **background**, of a support film for instance, adds electrons.
    3. **Shot noise**: the electrons that reach the detector are counted one by one.
    4. **Afterglow**: the scintillator emits part of each electron's light late, which correlates
       the shot noise along the row.
    5. **Line-to-line gain** multiplies the detector's signal.
    6. **Saturation**: the digitiser clips the signal at the end of its range.

    Each part can be switched off with None or 0, and is also a transformer of its own. Frames keep
    their units, and the expectation of an unsaturated pixel is the displaced clean frame plus the
    background, smeared by the afterglow.

    Parameters
    ----------
    dose : float or None, default=100.0
        Electrons per pixel or, with a pixel size, per square angstrom, at a signal equal to the
        reference. None for no shot noise.
    pixel_size : float, optional
        Side of a pixel in nm, as everywhere in stemkit.
    reference : "mean" or float, default="mean"
        The signal, in the frames' units, that dose, background and saturation refer to. "mean"
        is each clean frame's own mean: the dose is then the mean number of electrons per pixel,
        without those of the background. For simulated frames in shares of the incident beam use
        1.0: the dose is then the incident one.
    row_jitter : float or None, default=0.3
        Standard deviation of the rows' displacements along the fast axis, in px.
    row_correlation : float, default=4.0
        Correlation length of the displacements, in rows.
    flyback : float or None, default=1.0
        Displacement of the probe at the first pixel of a row, in px.
    flyback_decay : float, default=8.0
        Pixels after which 1/e of that is left.
    background : float or None, default=0.2
        Mean of the background in shares of the reference.
    background_contrast : float, default=0.3
        Standard deviation of the background over its mean.
    background_length : float, default=64.0
        Distance over which the background varies, in px.
    afterglow : float or None, default=0.2
        Share of the light that is delayed, 0 to 1.
    afterglow_decay : float, default=1.0
        Pixels after which 1/e of the delayed light is still to come.
    line_gain : float or None, default=0.01
        Standard deviation of the rows' gains about 1.
    saturation : float or None, default=None
        Largest signal that is recorded, in multiples of the reference.
    random_state : int, Generator, RandomState or None, default=None
        Source of everything random. The noise of a frame depends on it and on the frame, not on
        the other frames of the stack; None draws fresh noise in every call.

    See Also
    --------
    stemkit.noise.functional.stem_noise : The same for batches of tensors on a device.
    ShotNoise, RowJitter, Flyback, SlowBackground, Afterglow, LineGain, Saturation : Each part.

    Notes
    -----
    The defaults are mild and do not describe a particular microscope. Measure your own: the row
    jitter on a lattice whose rows should be straight, the afterglow on single electrons in vacuum
    at a short dwell time.

    References
    ----------
    .. [1] L. Jones and P. D. Nellist, "Identifying and correcting scan noise and drift in the
       scanning transmission electron microscope", Microsc. Microanal. 19 (2013) 1050.

    Examples
    --------
    A low dose, quoted per square angstrom, at 0.02 nm per pixel: 40 electrons per pixel.

    >>> import numpy as np
    >>> from stemkit.noise import STEMNoise
    >>> clean = np.full((2, 128, 128), 50.0)
    >>> simulator = STEMNoise(dose=1000, pixel_size=0.02, random_state=0)
    >>> noisy = simulator.fit_transform(clean)
    >>> noisy.shape, round(float(noisy.mean()) / 50, 1)  # 1 + the background's 0.2
    ((2, 128, 128), 1.2)

    Pairs for training come from a pipeline. On real frames leave the simulator out: `pipe[1:]`.

    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> pipe = make_pipeline(simulator, FunctionTransformer())  # your denoiser in its place
    >>> pipe.fit(clean, clean).transform(clean).shape
    (2, 128, 128)
    """

    _parameter_constraints: ClassVar = {
        **SignalNoise._parameter_constraints,
        **PARAMETERS,
        "reference": REFERENCE,
    }

    def __init__(
        self,
        *,
        dose: float | None = 100.0,
        pixel_size: float | None = None,
        reference: Literal["mean"] | float = "mean",
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
        random_state: RandomState = None,
    ) -> None:
        self.dose = dose
        self.pixel_size = pixel_size
        self.reference = reference
        self.row_jitter = row_jitter
        self.row_correlation = row_correlation
        self.flyback = flyback
        self.flyback_decay = flyback_decay
        self.background = background
        self.background_contrast = background_contrast
        self.background_length = background_length
        self.afterglow = afterglow
        self.afterglow_decay = afterglow_decay
        self.line_gain = line_gain
        self.saturation = saturation
        self.random_state = random_state

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        parameters = self.get_params()
        del parameters["random_state"]
        return functional.stem_noise(frames, **parameters, generator=generator)
