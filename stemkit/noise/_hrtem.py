"""Noise of an HRTEM's camera as a simulator that can be calibrated."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._arrays import Frames, Generator
from .._random import RandomState
from ._calibrated import CalibratedNoise, slope_of
from ._calibration import NoiseCalibration
from .functional import hrtem_noise, stabilize_log, unstabilize_log
from .functional._checks import finite, not_negative
from .functional._hrtem import COLUMN_SIGMA, GAIN, OFFSET


class HRTEMNoise(CalibratedNoise):
    r"""Noise of an HRTEM's camera: column noise, and pointwise noise that grows with the signal.

    .. math:: I_\mathrm{noisy} = I + N_c + N_p(I), \qquad
        \sigma_c = \mathrm{column\_sigma}, \quad
        \sigma_p = \mathrm{gain} \, I + \mathrm{offset}

    Both are normal [1]_; :math:`N_c` is one number for each column of each frame. The defaults are
    those of the paper's camera. `fit` calibrates yours, on sequences of vacuum frames at several
    beam intensities or on repeated exposures of any still field.

    Parameters
    ----------
    gain : float, default=0.03583
        How much the standard deviation of pointwise noise grows for each count of signal.
    offset : float, default=1.379
        Standard deviation of pointwise noise in counts at a signal of 0.
    column_sigma : float, default=0.6641
        Standard deviation of column noise in counts.
    random_state : int, Generator, RandomState or None, default=None
        With an int, the noise of a frame depends on it, on the frame, and on how often that frame
        came before in `X`, but not on the other frames; None draws fresh noise in every call.

    Attributes
    ----------
    gain_, offset_, column_sigma_ : float
        Values used by `transform`: measured if `fit` was given sequences, else the parameters.
    gain_stderr_, offset_stderr_, column_sigma_stderr_ : float
        Standard errors; NaN if nothing was measured.
    calibration_ : NoiseCalibration or None
        The measurement, and whether the model holds; None if nothing was measured.
    frame_shape_ : tuple of int
        Shape of the frames (or lines) given to `fit`.
    n_features_in_ : int
        Length of a line; only if `fit` was given lines.

    See Also
    --------
    PoissonGaussianNoise : For cameras that count electrons: the variance grows linearly.
    stemkit.noise.functional.hrtem_noise : The same without an estimator, on tensors too.

    Notes
    -----
    In a Pipeline `fit` is given clean frames and measures nothing. To keep a calibration, wrap it:
    ``make_pipeline(sklearn.frozen.FrozenEstimator(noise), denoiser)``.

    The calibration uses differences between successive frames, so that fixed pattern and slow
    changes of the beam cancel. It subtracts the contribution of pointwise noise,
    :math:`\sigma_p^2 / H`, from the variance of the columns' means, and the variance of rounding,
    1/12, from that of whole-number frames. Whole numbers are assumed to be rounded; frames that
    were truncated instead appear half a count too dark.

    References
    ----------
    .. [1] H. Li, Z. Wu, R. Shao and Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
       High-Resolution Transmission Electron Microscopy Imaging", CVPR 2026, section 3.5.

    Examples
    --------
    Noise as in the paper:

    >>> import numpy as np
    >>> from stemkit.noise import HRTEMNoise
    >>> clean = np.full((4, 64, 64), 75.0)
    >>> noisy = HRTEMNoise(random_state=0).fit_transform(clean)
    >>> noisy.shape, noisy.dtype
    ((4, 64, 64), dtype('float32'))

    Calibrate a camera on vacuum frames at three beam intensities:

    >>> camera = HRTEMNoise(gain=0.05, offset=2.0, column_sigma=1.0, random_state=0)
    >>> vacuum = [camera.fit_transform(np.full((20, 64, 64), level)) for level in (50, 75, 100)]
    >>> noise = HRTEMNoise().fit(vacuum)
    >>> bool(abs(noise.gain_ - 0.05) < 4 * noise.gain_stderr_), noise.calibration_.holds
    (True, True)

    Transform frames so that their noise is uniform, and back:

    >>> stable = noise.stabilize(vacuum[1])
    >>> round(float(stable.std(axis=0).mean()), 1)
    1.0
    >>> bool(np.allclose(noise.unstabilize(stable), vacuum[1], rtol=1e-5))
    True
    """

    _model = "HRTEMNoise"
    _parameter_constraints: ClassVar = {
        **CalibratedNoise._parameter_constraints,
        "gain": [not_negative()],
        "offset": [finite("counts")],
        "column_sigma": [not_negative("counts")],
    }

    def __init__(
        self,
        *,
        gain: float = GAIN,
        offset: float = OFFSET,
        column_sigma: float = COLUMN_SIGMA,
        random_state: RandomState = None,
    ) -> None:
        self.gain = gain
        self.offset = offset
        self.column_sigma = column_sigma
        self.random_state = random_state

    def stabilize(self, X: Frames) -> Frames:
        """Transform noisy frames so that pointwise noise has standard deviation 1 everywhere.

        Parameters
        ----------
        X : ndarray or torch.Tensor of shape (..., H, W)
            Noisy frames in counts.

        Returns
        -------
        ndarray or torch.Tensor of the same shape, float32
            ``log(X + offset_ / gain_) / gain_``; see :func:`functional.stabilize_log`.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self)
        return stabilize_log(X, self.gain_, self.offset_)

    def unstabilize(self, X: Frames) -> Frames:
        """Undo `stabilize`, exactly.

        Parameters
        ----------
        X : ndarray or torch.Tensor of shape (..., H, W)
            Transformed frames, denoised or not.

        Returns
        -------
        ndarray or torch.Tensor of the same shape, float32
            In counts. On the bias of averages see :func:`functional.unstabilize_log`.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self)
        return unstabilize_log(X, self.gain_, self.offset_)

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        return hrtem_noise(
            frames, self.gain_, self.offset_, self.column_sigma_, generator=generator
        )

    def _set_given(self) -> None:
        self.gain_ = self.gain
        self.offset_ = self.offset
        self.column_sigma_ = self.column_sigma
        self.gain_stderr_ = self.offset_stderr_ = self.column_sigma_stderr_ = np.nan

    def _set_measured(self, calibration: NoiseCalibration) -> None:
        fit = calibration.fit
        self.gain_, self.gain_stderr_ = slope_of(fit)
        self.offset_ = fit.intercept_at(self.gain_)
        self.offset_stderr_ = float(np.sqrt(fit.covariance[1, 1]))
        self.column_sigma_ = calibration.column_sigma
        self.column_sigma_stderr_ = calibration.column_sigma_stderr
