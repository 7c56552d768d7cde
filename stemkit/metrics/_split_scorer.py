"""How far a denoiser is from the truth, told from two exposures or from one that is split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._random import frame_generators
from .._validation import check_weights, n_dims
from ._stacks import frames_or_lines


@dataclass(frozen=True, kw_only=True)
class SplitScorer:
    """Score a denoiser without truth, by what it says of another exposure; greater is better.

    It is minus the mean square error between what the denoiser makes of one exposure, and another
    of the same field as it was recorded. On average this is the error to the truth plus the other
    exposure's variance, which is the same for all denoisers.

    Parameters
    ----------
    noise : HRTEMNoise or PoissonGaussianNoise, optional
        The camera's noise, to split single exposures in two where there are no second ones; see
        :func:`stemkit.noise.split_exposure`.
    fraction : float, default=0.8
        Share of the dose that the denoiser is given of a split frame. It is judged at that dose:
        the less it is given, the more smoothing seems best; the more, the less certain the score.
    random_state : int, default=0
        How frames are split. A frame's split depends on this and on the frame alone.

    See Also
    --------
    split_scorer : One without a law of noise, ready to be passed as ``scoring``.
    BlindSpotScorer : Needs one exposure, and no law of noise.

    Notes
    -----
    Two exposures share neither column noise nor row jitter nor afterglow: what is correlated within
    a frame does no harm, as long as it differs between the frames. What they do share passes for
    specimen: a fixed pattern of the detector, a supporting film. What differs passes for error:
    drift between the two (align them first), damage, a changed beam. And a split frame shares with
    its other half all that the law of noise does not know of.

    References
    ----------
    .. [1] Lehtinen et al., "Noise2Noise: learning image restoration without clean data", ICML 2018.
    .. [2] Neufeld et al., "Data thinning for convolution-closed distributions", J. Mach. Learn.
       Res. 25 (2024).

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from stemkit.datasets import make_crystal_images
    >>> from stemkit.denoise import GaussianDenoiser
    >>> from stemkit.metrics import SplitScorer, split_scorer
    >>> from stemkit.noise import PoissonGaussianNoise
    >>> clean = make_crystal_images("SrTiO3", 4, shape=(64, 64), random_state=0).frames
    >>> camera = PoissonGaussianNoise(gain=20.0)
    >>> first, second = (camera.set_params(random_state=i).fit_transform(clean) for i in (0, 1))
    >>> grid = {"sigma": [0.1, 1.0, 5.0]}
    >>> search = GridSearchCV(GaussianDenoiser(), grid, scoring=split_scorer, cv=2)
    >>> search.fit(first, second).best_params_
    {'sigma': 1.0}

    One exposure, and the noise's law:

    >>> search.set_params(scoring=SplitScorer(noise=camera)).fit(first).best_params_
    {'sigma': 1.0}
    """

    noise: Any = None
    fraction: float = 0.8
    random_state: int = 0

    def __call__(
        self,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Score a fitted denoiser on noisy frames.

        Parameters
        ----------
        estimator : object
            Its ``predict`` gives denoised frames on the scale of the noisy ones.
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames.
        y : array-like of the shape of X, optional
            Other exposures of the same fields. May be left out where ``noise`` is given; and is
            not used then.
        sample_weight : array-like of shape (n_frames,), optional
            How much each frame counts.

        Returns
        -------
        float
            Minus the mean square error to the other exposures, in the frames' unit squared.
        """
        lines = n_dims(X) == 2
        first = frames_or_lines(X)
        if self.noise is not None:
            # Imported here: two exposures need no simulator.
            from ..noise import split_exposure

            halves = [
                split_exposure(frame[np.newaxis], self.noise, fraction=self.fraction, generator=rng)
                for frame, rng in zip(
                    first, frame_generators(first, self.random_state), strict=True
                )
            ]
            first, second = (np.concatenate(parts) for parts in zip(*halves, strict=True))
        elif y is None:
            raise ValueError(
                "y is missing, and so is noise: pass other exposures of the same fields as y, or "
                "SplitScorer(noise=...) with the camera's law to split each frame."
            )
        else:
            second = frames_or_lines(y, name="y")
            if second.shape != first.shape:
                raise ValueError(
                    f"y has shape {second.shape}, but X has {first.shape}; pass another exposure "
                    f"of each field."
                )
        denoised = np.asarray(estimator.predict(first[:, 0] if lines else first), dtype=float)
        error = ((denoised.reshape(first.shape) - second) ** 2).mean((1, 2))
        return -float(np.average(error, weights=check_weights(sample_weight, len(error))))


split_scorer = SplitScorer()
