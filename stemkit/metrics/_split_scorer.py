"""Score denoisers without true frames, by two exposures or one that is split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._constraints import HasMethods, Interval, check_value
from .._random import frame_generators
from .._validation import check_weights, n_dims
from ._stacks import frames_or_lines, predicted_frames


@dataclass(frozen=True, kw_only=True)
class SplitScorer:
    """Score a denoiser without true frames, by its error to another exposure; greater is better.

    The score is minus the mean square error between one denoised exposure and another exposure of
    the same field as recorded. On average this is the error to the true frame plus the variance of
    the other exposure, which is the same for all denoisers.

    Parameters
    ----------
    noise : HRTEMNoise or PoissonGaussianNoise, optional
        The camera's noise, to split single exposures in two if there are no second ones; see
        :func:`stemkit.noise.split_exposure`.
    fraction : float, default=0.8
        Share of a split frame's dose that the denoiser is given. It is scored at that dose: with a
        small share more smoothing seems best, with a large one the score is less certain.
    random_state : int, default=0
        Seed of the splits. A frame's split depends on this and on the frame alone.

    See Also
    --------
    split_scorer : One without a noise model, ready to be passed as ``scoring``.
    BlindSpotScorer : Needs one exposure and no noise model.

    Notes
    -----
    Two exposures share neither column noise nor row jitter nor afterglow: noise that is correlated
    within a frame does not bias the score if it differs between the frames. Whatever they share
    counts as specimen: a fixed pattern of the detector, a supporting film. Whatever differs counts
    as error: drift between the two (align them first), damage, a changed beam. The halves of a
    split frame share all noise that is not in the noise model.

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

    With one exposure and a noise model:

    >>> search.set_params(scoring=SplitScorer(noise=camera)).fit(first).best_params_
    {'sigma': 1.0}
    """

    noise: Any = None
    fraction: float = 0.8
    random_state: int = 0

    def __post_init__(self) -> None:
        splits = HasMethods("unstabilize", example="HRTEMNoise() or PoissonGaussianNoise()")
        check_value(self.noise, "noise", [splits, None])
        check_value(self.fraction, "fraction", [Interval(float, 0, 1, closed="neither")])
        check_value(self.random_state, "random_state", ["random_state"])

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
            Its ``predict`` returns denoised frames on the scale of the noisy ones.
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames.
        y : array-like of the shape of X, optional
            Other exposures of the same fields; not used if ``noise`` is given.
        sample_weight : array-like of shape (n_frames,), optional
            Weight of each frame.

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
                "SplitScorer(noise=...) with the camera's noise to split each frame."
            )
        else:
            second = frames_or_lines(y, name="y")
            if second.shape != first.shape:
                raise ValueError(
                    f"y has shape {second.shape}, but X has {first.shape}; pass another exposure "
                    f"of each field."
                )
        denoised = predicted_frames(estimator, first[:, 0] if lines else first, first.shape)
        error = ((denoised - second) ** 2).mean((1, 2))
        return -float(np.average(error, weights=check_weights(sample_weight, len(error))))


split_scorer = SplitScorer()
