"""The base of all denoisers: transformers whose predict and transform are the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._arrays import as_array
from .._constraints import Interval
from .._validation import BadPixels, Float32Array, check_frames, check_stack, n_dims
from ..base import FrameEstimator
from ..metrics import psnr

if TYPE_CHECKING:
    from sklearn.utils import Tags


# Ranges of frames whose squares float32 can hold.
_RANGE = Interval(float, 1e-30, 1e30)


class Denoiser(TransformerMixin, FrameEstimator, ABC):
    """Base of denoisers: a subclass denoises a stack of frames in ``_denoise``.

    Scorers of scikit-learn call ``predict`` and pipelines ``transform``; for a denoiser they are
    the same.

    Examples
    --------
    >>> import numpy as np
    >>> from stemkit.denoise import Denoiser
    >>> class Darkest(Denoiser):
    ...     def _denoise(self, frames):
    ...         return np.minimum(frames, 0)
    >>> Darkest().fit_transform(np.array([[[1.0, -2.0]]]))
    array([[[ 0., -2.]]], dtype=float32)

    Score the result against the true frames, in dB:

    >>> truth = np.array([[[0.0, -100.0]]])
    >>> round(Darkest().fit(truth).score(truth - 10, truth), 6)
    20.0
    """

    bad_pixels: BadPixels = "repair"

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Check the parameters and the frames; nothing is learned.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames; a 2-D array is read as a stack of one-line frames.
        y : object, optional
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is invalid, or ``X`` is not a stack of finite numbers.
        """
        self._check_parameters()
        check_stack(X, self, reset=True)
        return self

    def transform(self, X: ArrayLike) -> Float32Array:
        """Denoise frames.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames of any size, with as many dimensions as those of `fit`.

        Returns
        -------
        ndarray of the shape of X, float32

        Raises
        ------
        ValueError
            If ``X`` is not a stack of finite numbers.
        NotFittedError
            Before ``fit``, unless ``weights`` are given.
        """
        check_is_fitted(self)
        self._check_parameters()
        frames, shape = check_stack(X, self, reset=False)
        return self._denoise(frames).reshape(shape)

    def predict(self, X: ArrayLike) -> Float32Array:
        """Denoise frames: another name for :meth:`transform`.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames.

        Returns
        -------
        ndarray of the shape of X, float32

        Raises
        ------
        ValueError
            If ``X`` is not a stack of finite numbers.
        NotFittedError
            As for :meth:`transform`.
        """
        return self.transform(X)

    def score(
        self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Compute the mean peak signal-to-noise ratio in dB.

        Parameters
        ----------
        X : array-like of shape (n_frames, H, W) or (n_lines, W)
            Noisy frames.
        y : array-like of the shape of X, optional
            Target frames. Labels of lines, as scikit-learn's checks pass them, are ignored, and
            lines are then compared with themselves.
        sample_weight : array-like of shape (n_frames,), optional
            Weight of each frame.

        Returns
        -------
        float
            The peak is the range of ``y``, and values are not rounded;
            :func:`stemkit.metrics.psnr` computes the papers' number.

        Raises
        ------
        ValueError
            If ``X`` or ``y`` is not a stack of finite numbers, or their shapes differ.
        """
        check_is_fitted(self)
        frames, _ = check_stack(X, self, reset=False)
        return self._score(frames, check_target(y, frames), sample_weight)

    def _score(
        self, noisy: Float32Array, target: Float32Array, sample_weight: ArrayLike | None
    ) -> float:
        self._check_parameters()
        with np.errstate(over="ignore"):
            span = float(np.ptp(target)) or 1.0
        if not _RANGE.accepts(span):
            raise ValueError(f"y has a range of {span:g}, beyond {_RANGE}; rescale X and y.")
        denoised = self._denoise(noisy)
        value = psnr(target, denoised, sample_weight=sample_weight, data_range=span, quantize=False)
        return float(value)

    @abstractmethod
    def _denoise(self, frames: Float32Array) -> Float32Array:
        """Denoise frames (n, H, W)."""

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def check_target(
    y: ArrayLike | None, frames: Float32Array, *, bad_pixels: BadPixels = None
) -> Float32Array:
    """Return y as a stack of the shape of the frames (n, H, W)."""
    if y is None:
        raise ValueError("y is missing: pass the target frames of X, of the same shape.")
    if frames.shape[1] == 1 and n_dims(y) < 3:
        array = as_array(y, "y")
        if array.shape != (len(frames), frames.shape[2]):
            return frames
        y = array[:, np.newaxis]
    target = check_frames(y, name="y", bad_pixels=bad_pixels)
    if target.shape != frames.shape:
        raise ValueError(
            f"y has shape {target.shape}, but X is {frames.shape}; pass one target frame of the "
            "same size for each frame."
        )
    return target
