"""Noise of a counting camera as a simulator that can be calibrated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .._arrays import Frames, Generator
from .._random import RandomState
from .._validation import Float32Array
from .._warnings import warn_caller
from ._calibrated import CalibratedNoise, slope_of
from ._calibration import NoiseCalibration
from ._variance_law import LawFit
from .functional import (
    column_noise,
    poisson_gaussian_noise,
    stabilize_anscombe,
    unstabilize_anscombe,
)
from .functional._poisson import PARAMETERS, check_no_negative_electrons

if TYPE_CHECKING:
    from sklearn.utils import Tags


class PoissonGaussianNoise(CalibratedNoise):
    r"""Noise of a camera that counts electrons: its variance grows linearly with the signal.

    .. math:: I_\mathrm{noisy} = \mathrm{pedestal} + \mathrm{gain}\, P + N + N_c, \qquad
        P \sim \mathrm{Poisson}\big((I - \mathrm{pedestal}) / \mathrm{gain}\big)

    with readout noise :math:`N` of each pixel and :math:`N_c` of each column, both normal.

    Parameters
    ----------
    gain : float, default=1.0
        Counts of the camera for each electron.
    read_sigma : float, default=0.0
        Standard deviation of readout noise in counts.
    pedestal : float, default=0.0
        Counts of a dark frame. Vacuum frames do not determine it, so `fit` needs it.
    column_sigma : float, default=0.0
        Standard deviation of column noise in counts.
    random_state : int, Generator, RandomState or None, default=None
        With an int, the noise of a frame depends on it, on the frame, and on how often that frame
        came before in `X`, but not on the other frames; None draws fresh noise in every call.

    Attributes
    ----------
    gain_, read_sigma_, column_sigma_ : float
        Values used by `transform`: measured if `fit` was given sequences, else the parameters.
    gain_stderr_, read_sigma_stderr_, column_sigma_stderr_ : float
        Standard errors; NaN if nothing was measured.
    calibration_ : NoiseCalibration or None
        The measurement, and whether the model holds; None if nothing was measured.
    frame_shape_ : tuple of int
        Shape of the frames (or lines) given to `fit`.
    n_features_in_ : int
        Length of a line; only if `fit` was given lines.

    See Also
    --------
    HRTEMNoise : For cameras whose standard deviation grows linearly.

    References
    ----------
    .. [1] A. Foi, M. Trimeche, V. Katkovnik and K. Egiazarian, "Practical Poissonian-Gaussian noise
       modeling and fitting for single-image raw-data", IEEE Trans. Image Processing 17 (2008) 1737.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.noise import PoissonGaussianNoise
    >>> camera = PoissonGaussianNoise(gain=3.0, read_sigma=5.0, random_state=0)
    >>> vacuum = [camera.fit_transform(np.full((20, 64, 64), level)) for level in (40, 120, 360)]
    >>> noise = PoissonGaussianNoise().fit(vacuum)
    >>> bool(abs(noise.gain_ - 3) < 4 * noise.gain_stderr_), noise.calibration_.preferred
    (True, 'PoissonGaussianNoise')

    Transform frames so that their noise is uniform, and back:

    >>> stable = noise.stabilize(vacuum[2])
    >>> round(float(stable.std()), 1)
    1.0
    >>> bool(np.allclose(noise.unstabilize(stable), vacuum[2], rtol=1e-4))
    True
    """

    _model = "PoissonGaussianNoise"
    _parameter_constraints: ClassVar = {
        **CalibratedNoise._parameter_constraints,
        **PARAMETERS,
        "column_sigma": PARAMETERS["read_sigma"],
    }

    def __init__(
        self,
        *,
        gain: float = 1.0,
        read_sigma: float = 0.0,
        pedestal: float = 0.0,
        column_sigma: float = 0.0,
        random_state: RandomState = None,
    ) -> None:
        self.gain = gain
        self.read_sigma = read_sigma
        self.pedestal = pedestal
        self.column_sigma = column_sigma
        self.random_state = random_state

    def stabilize(self, X: Frames) -> Frames:
        """Transform noisy frames so that their noise has a standard deviation of about 1.

        Parameters
        ----------
        X : ndarray or torch.Tensor of shape (..., H, W)
            Noisy frames in counts.

        Returns
        -------
        ndarray or torch.Tensor of the same shape, float32
            See :func:`functional.stabilize_anscombe`.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self)
        return stabilize_anscombe(X, self.gain_, self.read_sigma_, self.pedestal)

    def unstabilize(self, X: Frames) -> Frames:
        """Undo `stabilize`, exactly.

        Parameters
        ----------
        X : ndarray or torch.Tensor of shape (..., H, W)
            Transformed frames, denoised or not.

        Returns
        -------
        ndarray or torch.Tensor of the same shape, float32
            In counts. On the bias of averages see :func:`functional.unstabilize_anscombe`.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self)
        return unstabilize_anscombe(X, self.gain_, self.read_sigma_, self.pedestal)

    def _degrade(self, frames: Frames, generator: Generator | None) -> Frames:
        noisy = poisson_gaussian_noise(
            frames, self.gain_, self.read_sigma_, self.pedestal, generator=generator
        )
        return column_noise(noisy, self.column_sigma_, generator=generator)

    def _set_given(self) -> None:
        self.gain_ = self.gain
        self.read_sigma_ = self.read_sigma
        self.column_sigma_ = self.column_sigma
        self.gain_stderr_ = self.read_sigma_stderr_ = self.column_sigma_stderr_ = np.nan

    def _set_measured(self, calibration: NoiseCalibration) -> None:
        fit = calibration.fit
        self.gain_, self.gain_stderr_ = slope_of(fit)
        if self.gain_ == 0:
            raise ValueError(
                "X has noise that does not grow with the signal, as noise of counted electrons "
                "does; use stemkit.noise.HRTEMNoise, or sequences that differ more in intensity."
            )
        read_variance, read_stderr = self._read_variance(fit)
        # Counted electrons are whole numbers without any rounding.
        if read_variance + calibration.rounding < -5 * read_stderr:
            warn_caller(
                f"The noise vanishes {-read_variance / fit.slope:.4g} counts above the pedestal, "
                f"so the true pedestal is larger; pass pedestal= as measured on a dark frame."
            )
        variance = max(read_variance, 0.0)
        self.read_sigma_ = math.sqrt(variance)
        self.read_sigma_stderr_ = read_stderr / (2 * math.sqrt(max(variance, read_stderr)))
        self.column_sigma_ = calibration.column_sigma
        self.column_sigma_stderr_ = calibration.column_sigma_stderr

    def _read_variance(self, fit: LawFit) -> tuple[float, float]:
        """Return the variance at the pedestal, where there is no electron, and its error."""
        at = np.array([self.pedestal, 1.0])
        return fit.slope * self.pedestal + fit.intercept, float(np.sqrt(at @ fit.covariance @ at))

    def _draw_pixels(self, fit: LawFit, intensity: NDArray[np.float64]) -> NDArray[np.float64]:
        signal = np.maximum(intensity, self.pedestal)[np.newaxis]
        read_sigma = math.sqrt(max(self._read_variance(fit)[0], 0.0))
        noisy = poisson_gaussian_noise(
            signal,
            max(fit.slope, 1e-12),
            read_sigma,
            self.pedestal,
            generator=np.random.default_rng(2),
        )
        return noisy[0].astype(float)

    def _check_signal(self, frames: Float32Array) -> None:
        check_no_negative_electrons(frames - np.float32(self.pedestal))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags
